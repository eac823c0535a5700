#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    diffguard_datasets::fuzz::run("parquet", bytes).expect("a reader of this name");
});
