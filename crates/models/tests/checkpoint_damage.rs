//! Damaged and hostile checkpoints are errors: no panic, no code run, and no more memory than a few times the file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use diffguard_models::checkpoint::Source;
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// Counts what is allocated, and the most of it at once.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, so that the count is its own.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes that opening and reading a small file may take.
const BOUND: usize = 8 << 20;

/// Opens a file of these bytes and reads every tensor; the error if there is one, and the memory taken.
fn read(dir: &Path, bytes: &[u8]) -> (Result<usize, String>, usize) {
    let path = dir.join("checkpoint");
    std::fs::write(&path, bytes).expect("a writable folder");
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let read = Source::open(&path)
        .map_err(|error| error.to_string())
        .and_then(|source| {
            for entry in source.entries().values() {
                entry.values()?;
            }
            Ok(source.entries().len())
        });
    (read, MOST.load(Ordering::Relaxed).saturating_sub(before))
}

/// What pickles a state dict of one tensor `name`, `[2, 3]`, in storage `0`.
fn state_dict(name: &str) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X".to_vec();
    pickle.extend((name.len() as u32).to_le_bytes());
    pickle.extend(name.as_bytes());
    pickle.extend(
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n",
    );
    pickle.extend(
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89",
    );
    pickle.extend(b"ccollections\nOrderedDict\n)RtRs.");
    pickle
}

fn numbers() -> Vec<u8> {
    (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

fn legacy(object: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    file.extend(object);
    file.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend(6u64.to_le_bytes());
    file.extend(numbers());
    file
}

fn zipped(object: &[u8], deflate: bool) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = match deflate {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [
        ("archive/data.pkl", object),
        ("archive/data/0", &numbers()),
        ("archive/version", b"3\n"),
    ] {
        archive.start_file(name, options).expect("a new entry");
        archive.write_all(bytes).expect("in memory");
    }
    archive.finish().expect("in memory").into_inner()
}

fn tensors() -> Vec<u8> {
    let numbers = numbers();
    let view = TensorView::new(Dtype::F32, vec![2, 3], &numbers).expect("fits");
    serialize([("weight", view)], None).expect("fits")
}

fn whole(kind: usize) -> Vec<u8> {
    match kind {
        0 => legacy(&state_dict("weight")),
        1 => zipped(&state_dict("weight"), false),
        2 => zipped(&state_dict("weight"), true),
        _ => tensors(),
    }
}

#[test]
fn whole_files_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    for kind in 0..4 {
        std::fs::write(dir.path().join("c"), whole(kind)).expect("a writable folder");
        let source = Source::open(&dir.path().join("c")).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let entry = &source.entries()["weight"];
        assert_eq!(entry.shape, [2, 3]);
        assert_eq!(
            entry.values().expect("whole"),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        );
    }
}

#[test]
fn hostile_files_are_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a folder");
    let marker = dir.path().join("run");
    let mut system = b"\x80\x02cposix\nsystem\n(X".to_vec();
    let touch = format!("touch {}", marker.display());
    system.extend((touch.len() as u32).to_le_bytes());
    system.extend(touch.as_bytes());
    system.extend(b"tR.");
    let endless = [b"\x80\x02".to_vec(), vec![b')'; 3 << 20], b".".to_vec()].concat();
    let nested = [
        b"\x80\x02".to_vec(),
        vec![b']'; 400_000],
        vec![b'a'; 399_999],
        b".".to_vec(),
    ]
    .concat();
    // Each list holds the one before it twice.
    let mut doubling = b"\x80\x02]q\x00".to_vec();
    for i in 0..60u8 {
        doubling.extend([b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e']);
    }
    doubling.push(b'.');
    // A tensor of 2^40 numbers, each the same one.
    let view = state_dict("weight");
    let at = view
        .windows(5)
        .position(|w| w == b"K\x02K\x03\x86")
        .expect("its shape");
    let mut view = view;
    view.splice(
        at..at + 10,
        *b"J\x00\x00\x10\x00J\x00\x00\x10\x00\x86K\x00K\x00\x86",
    );
    let long = b"\x80\x02X\xff\xff\xff\xffa.".to_vec();
    for (what, pickle) in [
        ("system", system),
        ("endless", endless),
        ("nested", nested),
        ("doubling", doubling),
        ("view", view),
        ("long", long),
    ] {
        for bytes in [
            legacy(&pickle),
            zipped(&pickle, false),
            zipped(&pickle, true),
        ] {
            let size = bytes.len();
            let (read, taken) = read(dir.path(), &bytes);
            assert!(read.is_err(), "{what}: {read:?}");
            assert!(taken < 64 * BOUND, "{what}: {taken} bytes for {size}");
        }
    }
    assert!(!marker.exists(), "code was run");
    for claimed in [u64::MAX, i64::MAX as u64, 1 << 60, 1 << 33, 90_000_000] {
        let mut header = claimed.to_le_bytes().to_vec();
        header.push(b'{');
        let (read, taken) = read(dir.path(), &header);
        assert!(read.is_err() && taken < BOUND, "a header of {claimed}");
    }
}

/// Names inside an archive are only ever looked up in the archive: nothing is unpacked, no other file is read.
#[test]
fn names_in_an_archive_do_not_leave_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let outside = tempfile::tempdir().expect("a folder");
    let dir = outside.path().join("inside");
    std::fs::create_dir(&dir).expect("a writable folder");
    let secret: Vec<u8> = (0..6).flat_map(|_| 42f32.to_le_bytes()).collect();
    std::fs::write(outside.path().join("secret"), secret).expect("a writable folder");
    let absolute = outside.path().join("secret").display().to_string();
    // The name of the tensor's storage, in place of `0`.
    let pointing = |storage: &str| {
        let mut pickle = state_dict("weight");
        let name = b"X\x01\x00\x00\x000";
        let at = pickle
            .windows(name.len())
            .position(|window| window == name)
            .expect("the storage's name");
        let mut put = b"X".to_vec();
        put.extend((storage.len() as u32).to_le_bytes());
        put.extend(storage.as_bytes());
        pickle.splice(at..at + name.len(), put);
        pickle
    };
    let archive = |root: &str, pickle: &[u8], storage: &str| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in [
            (format!("{root}/data.pkl"), pickle),
            (format!("{root}/data/{storage}"), &numbers()),
        ] {
            archive.start_file(name, options).expect("a new entry");
            archive.write_all(bytes).expect("in memory");
        }
        archive.finish().expect("in memory").into_inner()
    };
    let files = [
        archive("..", &state_dict("weight"), "0"),
        archive("../../escaped", &state_dict("weight"), "0"),
        archive("/tmp/escaped", &state_dict("weight"), "0"),
        archive("archive", &pointing("../../secret"), "0"),
        archive("archive", &pointing("../../../secret"), "../../../secret"),
        archive("archive", &pointing(&absolute), "0"),
        archive("archive", &state_dict("../../escaped"), "0"),
    ];
    for (index, bytes) in files.iter().enumerate() {
        let (_, taken) = read(&dir, bytes);
        assert!(taken < BOUND, "{index}: {taken} bytes");
        // Where it reads at all, it reads the archive's own numbers.
        if let Ok(source) = Source::open(&dir.join("checkpoint")) {
            for (name, entry) in source.entries() {
                if let Ok(values) = entry.values() {
                    let own = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
                    assert_eq!(values, own, "{index}: {name}");
                }
            }
        }
        let listed = |folder: &Path| {
            let entries = std::fs::read_dir(folder).expect("a folder");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        assert_eq!(listed(outside.path()), ["inside", "secret"], "{index}");
        assert_eq!(listed(&dir), ["checkpoint"], "{index}");
    }
    assert!(!Path::new("/tmp/escaped").exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits(kind in 0usize..4, flips in prop::collection::vec((0.0f64..1.0, 0u8..8), 1..6)) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().expect("a folder");
        let mut bytes = whole(kind);
        for (place, bit) in flips {
            let place = (bytes.len() as f64 * place) as usize;
            bytes[place] ^= 1 << bit;
        }
        let (_, taken) = read(dir.path(), &bytes);
        prop_assert!(taken < BOUND, "{} bytes", taken);
    }

    #[test]
    fn truncation(kind in 0usize..4, share in 0.0f64..1.0) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = whole(kind);
        let end = (bytes.len() as f64 * share) as usize;
        let (read, taken) = read(dir.path(), &bytes[..end]);
        prop_assert!(read.is_err());
        prop_assert!(taken < BOUND, "{} bytes", taken);
    }

    #[test]
    fn random_pickles(tail in prop::collection::vec(any::<u8>(), 0..120), zip: bool) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().expect("a folder");
        let pickle = [b"\x80\x02".as_slice(), &tail, b"."].concat();
        let bytes = match zip {
            true => zipped(&pickle, true),
            false => legacy(&pickle),
        };
        let (_, taken) = read(dir.path(), &bytes);
        prop_assert!(taken < BOUND, "{} bytes", taken);
    }

    /// Headers of safetensors that parse and lie: shapes, offsets and types at will.
    #[test]
    fn lying_headers(
        shape in prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..5),
        from in prop_oneof![0u64..30, any::<u64>()],
        to in prop_oneof![0u64..30, any::<u64>()],
        dtype in prop::sample::select(vec!["F32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "X"]),
        twice: bool,
        tail in 0usize..64,
    ) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().expect("a folder");
        let tensor = format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{from},{to}]}}");
        let header = match twice {
            true => format!("{{\"a\":{tensor},\"b\":{tensor}}}"),
            false => format!("{{\"a\":{tensor}}}"),
        };
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![1; tail]);
        let (read, taken) = read(dir.path(), &bytes);
        prop_assert!(taken < BOUND, "{} bytes", taken);
        // Whole only where the numbers fill the file to its last byte.
        let size = match dtype {
            "F32" => 4,
            "F16" | "BF16" => 2,
            "F64" => 8,
            _ => 0,
        };
        let due = shape.iter().try_fold(size, |n: u64, &axis| n.checked_mul(axis));
        let fits = size > 0 && from == 0 && due == Some(to) && to == tail as u64;
        match twice && to > 0 {
            true => prop_assert!(read.is_err()),
            false => prop_assert_eq!(read.is_ok(), fits, "{:?}", read),
        }
    }
}
