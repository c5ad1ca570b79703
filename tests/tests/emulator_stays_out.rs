//! The emulator inside the SDK's driver is on in the test host, which is built apart, and never in the product.

use std::process::Command;

/// The features of the driver, wherever it is in what a package is built of.
fn driver_features(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{lib}:{f}", "--locked", "--offline"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let features = tree.lines().filter_map(|line| line.strip_prefix("azure_data_cosmos_driver:"));
    features.map(|f| f.trim_end_matches("(*)").trim().to_owned()).collect()
}

#[test]
fn the_product_has_no_emulator_and_no_injected_faults() {
    let product = driver_features(&["--package", "opsloop-azure"]);
    assert!(!product.is_empty(), "the driver is not in the product's adapters");
    let whole = driver_features(&["--workspace"]);
    for features in product.iter().chain(&whole) {
        assert!(!features.contains("in_memory_emulator") && !features.contains("fault_injection"), "{features}");
    }
}

/// Otherwise the test above would see nothing where there is something to be seen.
#[test]
fn the_test_host_has_it() {
    let host = driver_features(&["--manifest-path", "tests/cosmos-host/Cargo.toml"]);
    assert!(host.iter().any(|f| f.contains("__internal_in_memory_emulator")), "{host:?}");
}
