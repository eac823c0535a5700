#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    diffguard_datasets::fuzz::run("cifar_sheet", bytes).expect("a reader of this name");
});
