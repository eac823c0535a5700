#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    diffguard_datasets::fuzz::run("mat5", bytes).expect("a reader of this name");
});
