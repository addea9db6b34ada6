//! The queues of one priority level, as a pure structure: who runs, who waits, who is next
//! (KEP-1040, fair queuing). What runs and waits is named by numbers; time is given from outside.

use std::collections::VecDeque;

/// Seconds a request is taken to run before it has; corrected when it ends.
const GUESS_SECONDS: f64 = 0.003;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It runs, charged to this queue.
    Run(usize),
    /// It waits in this queue.
    Wait(usize),
    /// There is no room.
    Full,
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) seats: u32,
}

#[derive(Debug, Clone, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Seats of what waits and of what runs.
    load: u32,
    running: u32,
    /// Virtual time from which its next request is served.
    next: f64,
}

/// How many queues there are, and how they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Without any, what does not run at once is refused.
    pub(super) queues: usize,
    /// Queues one flow may use.
    pub(super) hand: usize,
    /// Requests that may wait in one.
    pub(super) length: usize,
}

/// Most queues of a level; more are not told apart.
pub(super) const QUEUES_MAX: usize = 4_096;
/// Most queues one flow may use.
pub(super) const HAND_MAX: usize = 64;

/// The queues, and what runs.
#[derive(Debug)]
pub(super) struct Queues {
    shape: Shape,
    queues: Vec<Queue>,
    /// Seats there are.
    pub(super) limit: u32,
    /// Seats taken by what runs.
    pub(super) taken: u32,
    pub(super) running: usize,
    pub(super) waiting: usize,
    /// Seats asked for by what waits.
    wanted: u32,
    /// Most seats wanted and taken since it was last asked.
    peak: u32,
    /// Virtual time at which what was dispatched last began.
    now: f64,
}

impl Queues {
    pub(super) fn new(shape: Shape, limit: u32) -> Self {
        let mut this = Self {
            shape: Shape { queues: 0, hand: 1, length: 0 },
            queues: Vec::new(),
            limit,
            taken: 0,
            running: 0,
            waiting: 0,
            wanted: 0,
            peak: 0,
            now: 0.0,
        };
        this.reshape(shape);
        this
    }

    /// Changes the number of queues; what waits in one that goes stays there until it is served.
    pub(super) fn reshape(&mut self, shape: Shape) {
        let queues = shape.queues.min(QUEUES_MAX);
        let hand = shape.hand.clamp(1, HAND_MAX.min(queues.max(1)));
        self.shape = Shape { queues, hand, length: shape.length };
        // One to charge to, also where nothing may wait.
        let least = queues.max(1);
        if self.queues.len() < least {
            self.queues.resize_with(least, Queue::default);
        }
    }

    /// Takes a request in.
    pub(super) fn arrive(&mut self, id: u64, seats: u32, flow: u64) -> Verdict {
        let at = self.least_loaded(flow);
        if self.waiting == 0 && self.has_room(seats) {
            self.charge(at, seats);
            self.queues[at].load += seats;
            self.mark();
            return Verdict::Run(at);
        }
        if self.queues[at].waiting.len() >= self.shape.length || self.shape.queues == 0 {
            return Verdict::Full;
        }
        let queue = &mut self.queues[at];
        if queue.waiting.is_empty() && queue.running == 0 {
            // One that slept has saved nothing up.
            queue.next = queue.next.max(self.now);
        }
        queue.waiting.push_back(Waiting { id, seats });
        queue.load += seats;
        self.waiting += 1;
        self.wanted += seats;
        self.mark();
        Verdict::Wait(at)
    }

    /// The next that may run, charged; `None` when nobody waits or there is no room.
    pub(super) fn next(&mut self) -> Option<(usize, Waiting)> {
        if self.waiting == 0 {
            return None;
        }
        let due = |queue: &Queue| {
            queue.waiting.front().map(|w| queue.next + f64::from(w.seats) * GUESS_SECONDS)
        };
        let waiting = self.queues.iter().enumerate().filter_map(|(at, q)| Some((at, due(q)?)));
        let (at, _) = waiting.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let first = *self.queues[at].waiting.front()?;
        if !self.has_room(first.seats) {
            return None;
        }
        self.queues[at].waiting.pop_front();
        self.waiting -= 1;
        self.wanted -= first.seats;
        self.charge(at, first.seats);
        Some((at, first))
    }

    /// Takes one out that does not wait any more; false when it is not there.
    pub(super) fn leave(&mut self, at: usize, id: u64) -> bool {
        let queue = &mut self.queues[at];
        let Some(place) = queue.waiting.iter().position(|w| w.id == id) else { return false };
        let Some(gone) = queue.waiting.remove(place) else { return false };
        queue.load -= gone.seats;
        self.waiting -= 1;
        self.wanted -= gone.seats;
        true
    }

    /// One that ran has ended.
    pub(super) fn finish(&mut self, at: usize, seats: u32, seconds: f64) {
        self.running -= 1;
        self.taken -= seats;
        let queue = &mut self.queues[at];
        queue.running -= 1;
        queue.load -= seats;
        queue.next += f64::from(seats) * (seconds - GUESS_SECONDS);
    }

    /// Most seats wanted at one time since this was last called.
    pub(super) fn take_peak(&mut self) -> u32 {
        std::mem::replace(&mut self.peak, self.taken + self.wanted)
    }

    fn mark(&mut self) {
        self.peak = self.peak.max(self.taken + self.wanted);
    }

    fn has_room(&self, seats: u32) -> bool {
        // One that is wider than the level runs alone.
        self.taken == 0 || self.taken.saturating_add(seats) <= self.limit
    }

    fn charge(&mut self, at: usize, seats: u32) {
        self.taken += seats;
        self.running += 1;
        let queue = &mut self.queues[at];
        if queue.running == 0 {
            queue.next = queue.next.max(self.now);
        }
        queue.running += 1;
        self.now = self.now.max(queue.next);
        queue.next += f64::from(seats) * GUESS_SECONDS;
    }

    /// The queue with the least to do of those that are dealt to a flow.
    fn least_loaded(&self, flow: u64) -> usize {
        let (queues, hand) = (self.shape.queues, self.shape.hand);
        if queues <= 1 {
            return 0;
        }
        let dealt = deal(flow, queues, hand);
        dealt.into_iter().min_by_key(|at| self.queues[*at].load).unwrap_or(0)
    }
}

/// A hand of different cards from a deck, always the same for a hash (shuffle sharding).
fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut cards: Vec<usize> = Vec::with_capacity(hand);
    for dealt in 0..hand.min(deck) {
        let left = (deck - dealt) as u64;
        let mut card = (hash % left) as usize;
        hash /= left;
        // The number among those left; `cards` is sorted.
        let mut place = 0;
        while place < cards.len() && cards[place] <= card {
            card += 1;
            place += 1;
        }
        cards.insert(place, card);
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { queues: 8, hand: 2, length: 3 };

    #[test]
    fn hands_are_different_cards_and_always_the_same() {
        for hash in [0, 1, 7, 1 << 40, u64::MAX] {
            let cards = deal(hash, 8, 6);
            assert_eq!(cards, deal(hash, 8, 6));
            assert_eq!(cards.len(), 6);
            assert!(cards.windows(2).all(|w| w[0] < w[1]) && cards[5] < 8, "{cards:?}");
        }
        assert_eq!(deal(5, 2, 6), [0, 1]);
    }

    #[test]
    fn seats_queues_and_room_are_limited() {
        let mut queues = Queues::new(SHAPE, 2);
        assert!(matches!(queues.arrive(1, 1, 0), Verdict::Run(_)));
        let Verdict::Run(second) = queues.arrive(2, 1, 0) else { panic!("there is room") };
        let mut waits = 0;
        while let Verdict::Wait(_) = queues.arrive(3 + waits, 1, 0) {
            waits += 1;
        }
        assert_eq!(waits, 6, "two queues of three");
        assert!(queues.next().is_none(), "no seat is free");
        queues.finish(second, 1, 0.5);
        assert!(queues.next().is_some());
        assert!(queues.next().is_none());
        assert_eq!((queues.taken, queues.running, queues.waiting), (2, 2, 5));
        assert_eq!(queues.take_peak(), 8);
        assert_eq!(queues.take_peak(), 7);
    }

    #[test]
    fn a_wide_request_runs_alone_and_one_that_left_does_not_run() {
        let mut queues = Queues::new(SHAPE, 2);
        let Verdict::Run(wide) = queues.arrive(1, 10, 0) else { panic!("alone it may") };
        let Verdict::Wait(at) = queues.arrive(2, 1, 0) else { panic!("it waits") };
        assert!(queues.leave(at, 2) && !queues.leave(at, 2));
        queues.finish(wide, 10, 1.0);
        assert!(queues.next().is_none());
        assert_eq!((queues.taken, queues.running, queues.waiting, queues.wanted), (0, 0, 0, 0));
    }

    #[test]
    fn without_queues_what_does_not_run_is_refused() {
        let mut queues = Queues::new(Shape { queues: 0, hand: 1, length: 0 }, 1);
        let Verdict::Run(at) = queues.arrive(1, 1, 9) else { panic!("there is room") };
        assert_eq!(queues.arrive(2, 1, 9), Verdict::Full);
        queues.finish(at, 1, 0.1);
        assert!(matches!(queues.arrive(3, 1, 9), Verdict::Run(_)));
    }

    /// One flow sends a hundred requests, another one now and then: it does not wait behind them.
    #[test]
    fn a_greedy_flow_does_not_starve_a_modest_one() {
        let shape = Shape { queues: 64, hand: 1, length: 200 };
        let mut queues = Queues::new(shape, 1);
        let (greedy, modest) = (3, 4);
        let Verdict::Run(mut running) = queues.arrive(0, 1, greedy) else { panic!("first") };
        for id in 1..100 {
            assert!(matches!(queues.arrive(id, 1, greedy), Verdict::Wait(_)));
        }
        let mut served = Vec::new();
        for round in 0..40 {
            if round % 10 == 0 {
                assert!(matches!(queues.arrive(1_000 + round, 1, modest), Verdict::Wait(_)));
            }
            queues.finish(running, 1, 0.01);
            let (at, next) = queues.next().expect("somebody waits");
            running = at;
            served.push(next.id);
        }
        for round in [0, 10, 20, 30] {
            let place = served.iter().position(|id| *id == 1_000 + round).expect("served");
            assert!(place as u64 <= round + 1, "asked in round {round}, served in {place}");
        }
    }

    #[test]
    fn reshaping_loses_nobody() {
        let mut queues = Queues::new(SHAPE, 1);
        let Verdict::Run(mut at) = queues.arrive(0, 1, 77) else { panic!("first") };
        let mut waits = Vec::new();
        for flow in 1..20 {
            if let Verdict::Wait(_) = queues.arrive(flow, 1, flow * 7919) {
                waits.push(flow);
            }
        }
        queues.reshape(Shape { queues: 1, hand: 1, length: 1 });
        let mut served = Vec::new();
        loop {
            queues.finish(at, 1, 0.0);
            let Some((next, waiting)) = queues.next() else { break };
            served.push(waiting.id);
            at = next;
        }
        served.sort_unstable();
        assert_eq!(served, waits);
    }
}
