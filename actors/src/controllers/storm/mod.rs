//! Every control actor over a store that is late, conflicts, forgets answers, stands still and
//! changes its leader, while actors panic. Behind the faults are the real registry and the real
//! store of one member. Afterwards everything must be as if nothing had happened: see `checks`.
//!
//! `KABUKI_TEST_SEED` chooses the first seed, `KABUKI_TEST_SEEDS` how many are run.

mod checks;
mod cluster;
mod history;
mod nodes;
mod outage;
mod services;
mod small;
mod workloads;

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::registry::faults::Weather;

pub(super) use cluster::World;

/// How long the faults go on.
const STORM: Duration = Duration::from_secs(90);
/// How long after the last fault everything must be done: the longest back-off of what is not to
/// blame, a watch that is read anew, rolling out the rest.
const CONVERGES: Duration = Duration::from_secs(120);
/// How long nothing at all may be written then.
const QUIET: Duration = Duration::from_secs(600);
/// Seeds tried to find a bug that was put back.
const PROOF_SEEDS: u64 = 40;
/// Questions and writes of all actors together in that time.
const QUIET_ATTEMPTS: u64 = 0;

/// What one kind of object goes through.
pub(crate) trait Scenario {
    /// Nodes that are there from the beginning.
    fn nodes(&self) -> &'static [&'static str] {
        &["n1", "n2", "n3"]
    }

    /// Makes the objects; runs in the storm.
    async fn begin(&mut self, world: &World);

    /// One more thing a user does; called again and again in the storm.
    async fn step(&mut self, world: &World, rng: &mut StdRng);

    /// Whether all is done; the error says what is missing.
    fn settled(&self, world: &World) -> Result<(), String>;

    /// What must have held all the time.
    fn check(&self, world: &World, history: &history::History) -> Result<(), String>;

    /// Whether something may be written although nothing happens.
    fn may_write(&self, _key: &str) -> bool {
        false
    }
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// Runs a scenario with every seed.
pub(super) fn storm<S: Scenario>(make: impl Fn() -> S) {
    let (first, count) = (number("KABUKI_TEST_SEED", 1), number("KABUKI_TEST_SEEDS", 1));
    for seed in first..first + count {
        one(seed, make(), false);
    }
}

/// Whether the checks notice that control actors go on without knowing what became of their writes:
/// the proof that a storm without a finding means something.
pub(super) fn notices_doubts_forgotten<S: Scenario + 'static>(make: fn() -> S) -> bool {
    (1..=PROOF_SEEDS)
        .any(|seed| std::thread::spawn(move || one(seed, make(), true)).join().is_err())
}

fn one<S: Scenario>(seed: u64, mut scenario: S, never_settle: bool) {
    cluster::run(seed, scenario.nodes(), |world| async move {
        let mut rng = StdRng::seed_from_u64(seed);
        world.door.never_settle(never_settle);
        world.door.set(Weather::STORM);
        let trouble = tokio::task::spawn_local(trouble(world.clone(), seed));
        scenario.begin(&world).await;
        let end = tokio::time::Instant::now() + STORM;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(rng.random_range(100..4_000))).await;
            scenario.step(&world, &mut rng).await;
        }
        trouble.abort();
        // Whatever the trouble was in the middle of.
        world.leads_again().await;
        world.door.set(Weather::default());
        world.until(CONVERGES, seed, || scenario.settled(&world)).await;
        // Statuses and events follow.
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.door.take_written();
        world.events_written();
        let attempts = world.door.attempts();
        tokio::time::sleep(QUIET).await;
        let written: Vec<_> =
            world.door.take_written().into_iter().filter(|k| !scenario.may_write(k)).collect();
        assert!(written.is_empty(), "seed {seed}: writes in quiet: {written:?}");
        let attempts = world.door.attempts() - attempts;
        let events = world.events_written();
        assert!(attempts <= QUIET_ATTEMPTS + events, "seed {seed}: {attempts} attempts in quiet");
        let found = scenario.settled(&world);
        let found = found.and_then(|()| scenario.check(&world, &history::read(&world)));
        if let Err(why) = found {
            world.give_up(seed, &why).await;
        }
        println!("seed {seed}: {}", world.summary());
    });
}

/// The line stands still, leadership goes and comes back, actors panic.
async fn trouble(world: World, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    loop {
        tokio::time::sleep(Duration::from_millis(rng.random_range(2_000..12_000))).await;
        match rng.random_range(0..4) {
            0 => world.line.stall(Duration::from_millis(rng.random_range(500..9_000))),
            1 => world.line.depose(Duration::from_millis(rng.random_range(100..4_000))).await,
            _ => world.crash_one(&mut rng),
        }
    }
}
