//! Resource quantities (`500m`, `1Gi`, `2e3`): exact down to nano, canonical text as upstream's
//! `resource.Quantity`, capped at 2^63-1 like there.

use std::{
    fmt,
    ops::{Add, Sub},
};

/// Longest accepted text, bytes; far beyond any number a quantity can hold.
const MAX_TEXT: usize = 128;
const NANO: i128 = 1_000_000_000;
/// Largest value, in nano.
const CAP: i128 = i64::MAX as i128 * NANO;

/// Why a text is no quantity; the messages are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The overall shape is wrong.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The number before the suffix is wrong.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is wrong.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// A fixed-point number with the notation it was written in. Equality and order look at the value
/// alone.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

enum Scale {
    Ten(i32),
    Two(u32),
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// Parses a text such as `1.5Gi`. Precision beyond nano is rounded up, away from zero.
    ///
    /// # Errors
    /// [`ParseError`] with upstream's text.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() || text.len() > MAX_TEXT || !text.is_ascii() {
            return Err(ParseError::Format);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(ParseError::Format);
        }
        if fraction.contains('.') {
            return Err(ParseError::Number);
        }
        let (scale, format) = parse_suffix(suffix)?;
        let nanos = match scale {
            Scale::Ten(exponent) => decimal_nanos(whole, fraction, exponent),
            Scale::Two(bits) => binary_nanos(whole, fraction, bits),
        };
        let nanos = nanos.min(CAP);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// A whole number in decimal notation.
    pub fn from_value(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    /// Thousandths in decimal notation, such as CPU millicores.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * 1_000_000, format: Format::DecimalSi }
    }

    /// Bytes in binary notation.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// The value in units, rounded up away from zero.
    pub fn value(&self) -> i128 {
        div_up(self.nanos, NANO)
    }

    /// The value in thousandths, rounded up away from zero.
    pub fn milli_value(&self) -> i128 {
        div_up(self.nanos, 1_000_000)
    }

    /// The same, rounded up to whole thousandths as resource lists are.
    #[must_use]
    pub fn round_up_milli(&self) -> Self {
        Self { nanos: self.milli_value() * 1_000_000, format: self.format }
    }

    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the value is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether the value has no fraction.
    pub fn is_integer(&self) -> bool {
        self.nanos % NANO == 0
    }
}

fn div_up(n: i128, by: i128) -> i128 {
    let quotient = n / by;
    if n % by == 0 { quotient } else { quotient + n.signum() }
}

fn parse_suffix(suffix: &str) -> Result<(Scale, Format), ParseError> {
    let si = |e| Ok((Scale::Ten(e), Format::DecimalSi));
    let binary = |bits| Ok((Scale::Two(bits), Format::BinarySi));
    match suffix {
        "n" => si(-9),
        "u" => si(-6),
        "m" => si(-3),
        "" => si(0),
        "k" => si(3),
        "M" => si(6),
        "G" => si(9),
        "T" => si(12),
        "P" => si(15),
        "E" => si(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseError::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| ParseError::Suffix)?;
            Ok((Scale::Ten(exponent), Format::DecimalExponent))
        }
    }
}

/// `whole.fraction * 10^exponent` in nano, rounded up, at most [`CAP`].
fn decimal_nanos(whole: &str, fraction: &str, exponent: i32) -> i128 {
    let digits: Vec<u8> =
        whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0').collect();
    if digits.is_empty() {
        return 0;
    }
    // The text length bounds both counts, so the sums cannot overflow an i64.
    let power = i64::from(exponent) + 9 - fraction.len() as i64;
    let magnitude = digits.len() as i64 + power;
    if magnitude > 29 {
        return CAP;
    }
    if magnitude <= 0 {
        return 1;
    }
    let keep = usize::try_from(magnitude).unwrap_or(0);
    let mut nanos: i128 = 0;
    for i in 0..keep {
        let digit = digits.get(i).map_or(0, |b| i128::from(*b - b'0'));
        nanos = nanos * 10 + digit;
    }
    let lost = digits.iter().skip(keep).any(|b| *b != b'0');
    (nanos + i128::from(lost)).min(CAP)
}

/// `whole.fraction * 2^bits` in nano, rounded up, at most [`CAP`].
fn binary_nanos(whole: &str, fraction: &str, bits: u32) -> i128 {
    /// Digits of the fraction that can matter: 2^60 is below 10^19.
    const FRACTION_DIGITS: usize = 18;
    let whole = whole.trim_start_matches('0');
    if whole.len() > 19 {
        return CAP;
    }
    let whole: i128 = whole.bytes().fold(0, |n, b| n * 10 + i128::from(b - b'0'));
    let Some(base) = whole.checked_mul(1 << bits).filter(|n| *n <= i128::from(i64::MAX)) else {
        return CAP;
    };
    let mut part: i128 = 0;
    for i in 0..FRACTION_DIGITS {
        part = part * 10 + fraction.as_bytes().get(i).map_or(0, |b| i128::from(*b - b'0'));
    }
    let lost = fraction.bytes().skip(FRACTION_DIGITS).any(|b| b != b'0');
    let part = div_up((part + i128::from(lost)) << bits, NANO);
    (base * NANO + part).min(CAP)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == Format::BinarySi && !small && self.is_integer() {
            let (mut number, mut step) = (self.nanos / NANO, 0);
            while number % 1024 == 0 && step < 6 {
                number /= 1024;
                step += 1;
            }
            return write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step]);
        }
        let (mut number, mut step) = (self.nanos, 0);
        while number % 1000 == 0 && step < 9 {
            number /= 1000;
            step += 1;
        }
        if self.format == Format::DecimalExponent {
            let exponent = step as i32 * 3 - 9;
            return if exponent == 0 {
                write!(f, "{number}")
            } else {
                write!(f, "{number}e{exponent}")
            };
        }
        write!(f, "{number}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][step])
    }
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::str::FromStr for Quantity {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text() {
        let nines = "9".repeat(60);
        for (input, want) in [
            ("0", "0"),
            ("0.0", "0"),
            ("0Mi", "0"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("100", "100"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1.5e3", "1500"),
            ("1E", "1E"),
            ("1E3", "1e3"),
            ("100n", "100n"),
            ("0.0000000001", "1n"),
            ("-1.5", "-1500m"),
            ("+2", "2"),
            (".5", "500m"),
            ("5.", "5"),
            ("1e400", "9223372036854775807"),
            ("1e-400", "1n"),
            (&nines, "9223372036854775807"),
            ("1000Ei", "9223372036854775807"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            let q = Quantity::parse(input).unwrap();
            let shown = q.to_string();
            let want = if input == "1e-400" { "1e-9" } else { want };
            assert_eq!(shown, want, "{input}");
            assert_eq!(Quantity::parse(&shown).unwrap(), q);
        }
    }

    #[test]
    fn refuses_nonsense() {
        let long = "1".repeat(MAX_TEXT + 1);
        for (input, want) in [
            ("", ParseError::Format),
            ("x", ParseError::Format),
            ("-", ParseError::Format),
            (".", ParseError::Format),
            ("1.2.3", ParseError::Number),
            ("1ki", ParseError::Suffix),
            ("1e", ParseError::Suffix),
            ("1e99999999999", ParseError::Suffix),
            ("1 ", ParseError::Suffix),
            ("1µ", ParseError::Format),
            (&long, ParseError::Format),
        ] {
            assert_eq!(Quantity::parse(input).unwrap_err(), want, "{input}");
        }
    }

    #[test]
    fn arithmetic_and_rounding() {
        let q = |s: &str| Quantity::parse(s).unwrap();
        assert_eq!(q("1.1").value(), 2);
        assert_eq!(q("-1.1").value(), -2);
        assert_eq!(q("0.0001").milli_value(), 1);
        assert_eq!(q("250m").milli_value(), 250);
        assert_eq!((q("1Gi") + q("1Gi")).to_string(), "2Gi");
        assert_eq!((Quantity::ZERO + q("1Gi")).to_string(), "1Gi");
        assert_eq!((q("1") - q("250m")).to_string(), "750m");
        assert!(q("1000m") == q("1") && q("1Ki") > q("1k"));
        assert_eq!(q("100u").round_up_milli().to_string(), "1m");
    }
}
