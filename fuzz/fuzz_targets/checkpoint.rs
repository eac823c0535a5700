#![no_main]

use std::io::Write;

// A checkpoint of any kind is told from its content: safetensors, or what torch.save writes (zip, legacy pickles).
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a writable file");
    if let Ok(source) = diffguard_models::checkpoint::Source::open(file.path()) {
        for entry in source.entries().values() {
            let _ = entry.values();
        }
    }
});
