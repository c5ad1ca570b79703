use super::*;
use serde::Deserialize;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/golden/otlp-metric-vectors/exponential_histogram_vectors.json"
));

#[derive(Deserialize)]
struct Vectors {
    merge_same_scale: Merges,
    downscale: Downscales,
}
#[derive(Deserialize)]
struct Merges {
    first_index: i32,
    cases: Vec<MergeCase>,
}
#[derive(Deserialize)]
struct MergeCase {
    a: Vec<Option<u64>>,
    b: Vec<Option<u64>>,
    want: Vec<Option<u64>>,
}
#[derive(Deserialize)]
struct Downscales {
    cases: Vec<Vec<Scaled>>,
}
#[derive(Deserialize)]
struct Scaled {
    scale: i32,
    offset: i32,
    counts: Vec<u64>,
}

fn histogram(scale: i32, offset: i32, counts: &[u64]) -> Exponential {
    Exponential { scale, positive: Buckets::new(offset, counts.to_vec()), ..Exponential::default() }
}
fn sparse(first: i32, counts: &[Option<u64>]) -> Exponential {
    histogram(3, first, &counts.iter().map(|c| c.unwrap_or(0)).collect::<Vec<_>>())
}

#[test]
fn the_collectors_merge_vectors_hold() {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    let first = vectors.merge_same_scale.first_index;
    assert_eq!(vectors.merge_same_scale.cases.len(), 4);
    for case in vectors.merge_same_scale.cases {
        let merged = sparse(first, &case.a).merged(&sparse(first, &case.b));
        assert_eq!(merged, sparse(first, &case.want));
    }
}

#[test]
fn the_collectors_downscale_vectors_hold() {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.downscale.cases.len(), 10);
    for steps in vectors.downscale.cases {
        for pair in steps.windows(2) {
            let [from, to] = [&pair[0], &pair[1]].map(|s| histogram(s.scale, s.offset, &s.counts));
            assert_eq!(from.at_scale(to.scale), Some(to.clone()));
            assert_eq!(to.at_scale(from.scale), None, "there is no way up");
        }
    }
}

#[test]
fn maw_07_histograms_meet_at_the_smaller_scale() {
    let merged = histogram(3, 0, &[1; 8]).merged(&histogram(2, 0, &[1; 4]));
    assert_eq!(merged, histogram(2, 0, &[3; 4]));
}

#[test]
fn more_buckets_than_fit_are_downscaled_further() {
    let merged = histogram(0, 0, &[1]).merged(&histogram(0, 400, &[1]));
    // 401 buckets need two halvings: 201 are still too many.
    assert_eq!((merged.scale, merged.total()), (-2, 2));
    assert!(merged.positive.counts.len() <= BUCKETS_MAX);
}

#[test]
fn the_zero_threshold_is_raised_to_the_bucket_that_it_cuts() {
    let near = Exponential { zero_threshold: 0.0, ..histogram(0, -3, &[1, 2, 4, 8]) };
    let coarse = Exponential { zero_threshold: 0.3, zero_count: 5, ..Exponential::default() };
    // Buckets (1/8, 1/4], (1/4, 1/2], (1/2, 1], (1, 2]: the first lies inside, the second is cut through.
    let merged = near.merged(&coarse);
    assert_eq!((merged.zero_threshold, merged.zero_count), (0.5, 5 + 1 + 2));
    assert_eq!(merged.positive, Buckets::new(-1, vec![4, 8]));
}

#[test]
fn a_difference_needs_every_bucket_to_have_grown() {
    let then = histogram(1, 0, &[1, 1, 1, 1]);
    assert_eq!(histogram(0, 0, &[5, 4]).since(&then), Some(histogram(0, 0, &[3, 2])));
    assert_eq!(histogram(0, 0, &[1, 9]).since(&then), None);
    let negative = |n| Exponential { negative: Buckets::new(0, vec![n]), ..Exponential::default() };
    assert_eq!(negative(7).since(&negative(3)), Some(negative(4)));
}
