//! The deliberate defects of `opsloop_kernel::mutant` are in the simulator, when asked for, and never in the product.

use std::process::Command;

/// The features of the kernel, wherever it is in what a package is built of.
fn kernel_features(package: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{lib}:{f}", "--locked", "--offline"])
        .args(package)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let features = tree.lines().filter_map(|line| line.strip_prefix("opsloop_kernel:"));
    features.map(|f| f.trim_end_matches("(*)").trim().to_owned()).collect()
}

#[test]
fn the_product_is_built_without_defects() {
    let product = kernel_features(&["--package", "opsloop"]);
    assert!(!product.is_empty(), "the kernel is not in the product");
    assert!(!product.iter().any(|f| f.contains("mutants")), "{product:?}");
}

/// Otherwise the test above would see nothing where there is something to be seen.
#[test]
fn the_simulator_has_them_when_asked() {
    let simulator = kernel_features(&["--package", "opsloop-sim", "--features", "mutants"]);
    assert!(simulator.iter().any(|f| f.contains("mutants")), "{simulator:?}");
}
