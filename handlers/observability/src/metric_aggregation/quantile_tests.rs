use super::*;
use crate::metric_aggregation::exponential::Buckets;

fn close(actual: Option<f64>, expected: f64) {
    let actual = actual.unwrap();
    assert!((actual - expected).abs() <= 1e-8, "{actual} is not {expected}");
}
fn explicit(bounds: &[f64], counts: &[u64]) -> Explicit {
    Explicit::new(bounds.to_vec(), counts.to_vec(), 0)
}
fn exponential(scale: i32, offset: i32, counts: &[u64]) -> Exponential {
    Exponential { scale, positive: Buckets::new(offset, counts.to_vec()), ..Exponential::default() }
}

#[test]
fn maw_05_quantiles_of_explicit_bounds() {
    let h = explicit(&[0.1, 0.5, 1.0], &[50, 40, 8, 2]);
    for (q, value) in [(0.5, 0.1), (0.9, 0.5), (0.95, 0.8125), (0.99, 1.0)] {
        close(of_explicit(&h, q), value);
    }
}

#[test]
fn maw_06_quantiles_of_exponential_buckets() {
    close(of_exponential(&exponential(0, 0, &[4]), 0.5), std::f64::consts::SQRT_2);
    close(of_exponential(&exponential(1, 2, &[10, 20, 10]), 0.9), 4.924_577_65);
}

#[test]
fn buckets_without_a_bound_yield_the_other() {
    close(of_explicit(&explicit(&[-1.0, 2.0], &[10, 0, 0]), 0.5), -1.0);
    close(of_explicit(&explicit(&[-1.0, 2.0], &[0, 10, 0]), 0.5), 0.5);
    close(of_explicit(&explicit(&[-1.0, 2.0], &[0, 0, 10]), 0.5), 2.0);
    assert_eq!(of_explicit(&explicit(&[], &[10]), 0.5), None);
    assert_eq!(of_explicit(&explicit(&[1.0], &[0, 0]), 0.5), None);
}

#[test]
fn negative_buckets_mirror_the_positive_ones() {
    let h = Exponential { negative: Buckets::new(0, vec![4]), ..Exponential::default() };
    close(of_exponential(&h, 0.5), -(2.0_f64.sqrt()));
    close(of_exponential(&h, 0.0), -2.0);
    close(of_exponential(&h, 1.0), -1.0);
}

#[test]
fn the_zero_bucket_goes_from_zero() {
    let h = Exponential { zero_count: 10, zero_threshold: 0.5, ..exponential(0, 0, &[10]) };
    close(of_exponential(&h, 0.25), 0.25);
    close(of_exponential(&h, 0.75), 2.0_f64.sqrt());
}

#[test]
fn what_is_at_most_a_threshold_is_linear_in_the_bucket_and_leaves_the_overflow_out() {
    let h = explicit(&[0.1, 0.5, 1.0], &[50, 40, 8, 2]);
    assert_eq!(explicit_at_most(&h, 0.5), 90.0);
    assert_eq!(explicit_at_most(&h, 0.3), 70.0);
    assert_eq!(explicit_at_most(&h, 99.0), 98.0);
    assert_eq!(exponential_at_most(&exponential(0, 0, &[4]), 1.5), 2.0);
    assert_eq!(exponential_at_most(&exponential(0, 0, &[4]), 8.0), 4.0);
}

/// What Prometheus publishes of its own (promqltest, `histograms.test` and `native_histograms.test`, Apache-2.0).
#[test]
fn quantiles_are_those_of_prometheus() {
    let positive = explicit(&[0.1, 0.2, 1.0], &[50, 20, 40, 10]);
    for (q, value) in [(0.0, 0.0), (0.2, 0.048), (0.5, 0.15), (0.8, 0.72), (1.0, 1.0)] {
        close(of_explicit(&positive, q), value);
    }
    let negative = explicit(&[-0.2, -0.1, 0.3], &[10, 10, 0, 10]);
    for (q, value) in [(0.0, -0.2), (0.2, -0.2), (0.5, -0.15), (0.8, 0.3), (1.0, 0.3)] {
        close(of_explicit(&negative, q), value);
    }
    // `schema:0 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]`; in OTLP's terms the first bucket, (0.5, 1], has index −1.
    let buckets = || Buckets::new(-1, vec![2, 3, 0, 1, 4]);
    let of = |positive, negative, zero_count| Exponential {
        scale: 0,
        zero_threshold: 0.001,
        zero_count,
        positive,
        negative,
    };
    let up = of(buckets(), Buckets::default(), 2);
    let shown = [
        (1.0, 16.0),
        (0.99, 15.670_724_761_390_83),
        (0.9, 12.996_038_341_699_77),
        (0.6, 4.594_793_419_988_138),
        (0.5, 1.587_401_051_968_199_4),
        (0.1, 0.000_6),
        (0.0, 0.0),
    ];
    for (q, value) in shown {
        close(of_exponential(&up, q), value);
    }
    let down = of(Buckets::default(), buckets(), 2);
    for (q, value) in shown {
        close(of_exponential(&down, 1.0 - q), -value);
    }
    let both = of(buckets(), buckets(), 4);
    let shown =
        [(1.0, 16.0), (0.99, 15.348_225_909_204_23), (0.9, 10.556_063_286_183_155), (0.7, 1.203_025_036_082_116_4)];
    for (q, value) in shown {
        close(of_exponential(&both, q), value);
        close(of_exponential(&both, 1.0 - q), -value);
    }
}
