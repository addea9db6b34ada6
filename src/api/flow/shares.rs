//! How the seats of a server are shared out among its priority levels
//! (KEP-1040, "Dispatching" and "Borrowing between priority levels").

/// What a level says about its seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Terms {
    /// `nominalConcurrencyShares`.
    pub(super) shares: u32,
    /// `lendablePercent`, 0 to 100.
    pub(super) lendable_percent: u32,
    /// `borrowingLimitPercent`; without one a level may borrow all there is.
    pub(super) borrowing_percent: Option<u32>,
}

/// Bounds of the seats of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// Its seats when nobody borrows.
    pub(super) nominal: u32,
    /// What it keeps when it lends all it may.
    pub(super) least: u32,
    /// What it has when it borrows all it may.
    pub(super) most: u32,
}

/// Shares `total` seats out; in the order of `levels`.
pub(super) fn bounds(total: u32, levels: &[Terms]) -> Vec<Bounds> {
    let sum: u64 = levels.iter().map(|l| u64::from(l.shares)).sum::<u64>().max(1);
    let part = |of: u32, percent: u32| {
        let part = (u64::from(of) * u64::from(percent) + 50) / 100;
        u32::try_from(part).unwrap_or(u32::MAX)
    };
    let one = |level: &Terms| {
        let seats = (u64::from(total) * u64::from(level.shares)).div_ceil(sum);
        let nominal = u32::try_from(seats).unwrap_or(u32::MAX);
        let borrowed = level.borrowing_percent.map_or(total, |p| part(nominal, p));
        Bounds {
            nominal,
            least: nominal - part(nominal, level.lendable_percent.min(100)),
            most: nominal.saturating_add(borrowed).min(total.max(nominal)),
        }
    };
    levels.iter().map(one).collect()
}

/// Rounds of the search for the common factor: enough for every number of seats there can be.
const ROUNDS: u32 = 48;

/// Shares the seats out anew after what each level asked for lately: everybody gets the same part
/// of what it asked for, within its bounds, and who asked for little lends the rest.
pub(super) fn lend(total: u32, levels: &[(Bounds, u32)]) -> Vec<u32> {
    let wanted = |(bounds, demand): &(Bounds, u32)| f64::from((*demand).max(bounds.least).max(1));
    let at = |factor: f64, level: &(Bounds, u32)| {
        let (least, most) = (f64::from(level.0.least), f64::from(level.0.most));
        (wanted(level) * factor).clamp(least, most)
    };
    let sum = |factor: f64| levels.iter().map(|l| at(factor, l)).sum::<f64>();
    let (mut low, mut high) = (0.0, f64::from(total.max(1)));
    for _ in 0..ROUNDS {
        let middle = f64::midpoint(low, high);
        if sum(middle) > f64::from(total) { high = middle } else { low = middle }
    }
    // At least one seat, so that nobody ever stands still.
    levels.iter().map(|level| (at(low, level).round() as u32).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(shares: u32, lendable: u32) -> Terms {
        Terms { shares, lendable_percent: lendable, borrowing_percent: None }
    }

    #[test]
    fn seats_follow_the_shares() {
        let levels = [terms(30, 33), terms(40, 25), terms(5, 0), terms(0, 0)];
        let all = bounds(600, &levels);
        assert_eq!(all.iter().map(|b| b.nominal).collect::<Vec<_>>(), [240, 320, 40, 0]);
        assert_eq!(all.iter().map(|b| b.least).collect::<Vec<_>>(), [161, 240, 40, 0]);
        assert!(all.iter().all(|b| b.most == 600));
        let some = Terms { borrowing_percent: Some(50), ..terms(1, 0) };
        assert_eq!(bounds(10, &[some, terms(1, 0)])[0], Bounds { nominal: 5, least: 5, most: 8 });
        assert_eq!(bounds(10, &[terms(0, 0)])[0].nominal, 0);
    }

    #[test]
    fn who_asks_for_little_lends_and_gets_it_back() {
        let all = bounds(600, &[terms(30, 33), terms(100, 90), terms(20, 50)]);
        let with = |demand: [u32; 3]| {
            let levels: Vec<_> = all.iter().copied().zip(demand).collect();
            lend(600, &levels)
        };
        let quiet = with([0, 0, 500]);
        assert!(quiet[2] > all[2].nominal && quiet[0] >= all[0].least, "{quiet:?}");
        let busy = with([300, 1_000, 500]);
        assert!(busy.iter().zip(&all).all(|(got, b)| *got >= b.least), "{busy:?}");
        assert!(busy.iter().sum::<u32>() <= 602, "{busy:?}");
        assert!(busy[1] > quiet[1]);
        // Nobody falls to nothing, whatever the shares.
        assert_eq!(lend(1, &[(Bounds::default(), 0), (Bounds::default(), 5)]), [1, 1]);
    }
}
