//! Numbers are compared as people write them, not by the last bits of a double.

const NINE_DECIMALS: f64 = 1e9;

/// Half-even to 9 decimals: how burn rates, factors and budgets are compared (SPEC 5.4.4).
pub fn rounded(x: f64) -> f64 {
    (x * NINE_DECIMALS).round_ties_even() / NINE_DECIMALS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_even_at_the_ninth_decimal() {
        assert_eq!(rounded(0.000_000_000_5), 0.0);
        assert_eq!(rounded(0.000_000_001_5), 0.000_000_002);
        assert_eq!(rounded(0.1 + 0.2), 0.3);
        assert_eq!(rounded(0.02 * 30.0 * 24.0), 14.4);
    }
}
