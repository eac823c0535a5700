//! How the process stands to its system.

/// Ends the process quietly when what reads its output goes away (`cargo xtask tables | head -1`), with the status of
/// other commands there, where `println!` would panic. Pipes to child processes go on to report errors, which the
/// signal's default action would not let them.
pub fn end_with_the_reader() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if message.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(128 + 13);
        }
        otherwise(panic);
    }));
}

/// Keeps freed arrays for the next layer in place of giving them back to the system: glibc would otherwise map and
/// unmap each of them, and the page faults cost about a tenth of a run. All threads share one heap, since those of other threads
/// than the main one are given back whatever is asked here. Elsewhere, nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: settings of the allocator, made before any other thread is there.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
