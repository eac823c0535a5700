//! How the allocator treats the large arrays of networks.

/// Keeps freed arrays for the next layer in place of giving them back to the system: glibc would otherwise map and
/// unmap each of them, and the page faults cost about a tenth of a run. Elsewhere, nothing.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two settings of the allocator, made before any other thread is there.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
