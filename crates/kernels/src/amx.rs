//! Intel's matrix tiles (AMX): products of bfloat16 tiles with f32 sums.
//!
//! Rust has no stable intrinsics for them, so the inner loop is written in assembly. The compiler itself never uses tile
//! registers; they are configured at the begin of a piece of work on a thread and given back at its end.

use std::arch::asm;
use std::sync::OnceLock;

use crate::lanes::Lane;

/// Rows of a tile: positions of an image tile, pairs of input channels of a weight tile.
pub(crate) const ROWS: usize = 16;
/// bfloat16 values of a tile's row.
pub(crate) const DEPTH: usize = 32;
/// Output channels, and output positions, that one [`Tiles::product`] computes: two tiles by two tiles.
pub(crate) const BLOCK: usize = 32;

/// A row of a tile: pairs of bfloat16 values, the first of a pair in the lower half of its word. A line of the cache, so that
/// no row lies in two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [u32; ROWS]);

impl Line {
    pub const ZERO: Self = Self([0; ROWS]);
}

/// Whether this processor has the tiles, and the operating system lets this process use them.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && may_use_tiles())
}

/// `AMX-BF16` and `AMX-TILE` of leaf 7, and the tile state among what the operating system saves.
fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: called where OSXSAVE was seen.
        unsafe { _xgetbv(0) }
    }
    const OSXSAVE: u32 = 1 << 27;
    const TILE_STATE: u64 = 0b11 << 17;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    // SAFETY: OSXSAVE says that the instruction is there.
    let saved = unsafe { saved() };
    features & (1 << 22) != 0 && features & (1 << 24) != 0 && saved & TILE_STATE == TILE_STATE
}

/// Linux hands the tiles' large state out on request only.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: a system call that reads no memory of ours.
    unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_REQ_XCOMP_PERM,
            XFEATURE_XTILEDATA,
        ) == 0
    }
}

#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

/// The layout of `ldtilecfg`'s operand: palette 1, eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// This thread's tiles, configured for as long as it lives.
pub(crate) struct Tiles {
    // Tiles belong to a thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Tiles {
    /// Configures the tiles of this thread; none where it has none.
    pub fn new() -> Option<Self> {
        if !available() {
            return None;
        }
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.bytes[..8].fill(64);
        configuration.rows[..8].fill(ROWS as u8);
        // SAFETY: the tiles are there, and the operand has the layout that the instruction reads.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly));
        }
        Some(Self {
            _not_send: std::marker::PhantomData,
        })
    }

    /// `out[position, channel] = sum over steps, k of a[offset(step) + position, k] * b[step, k, channel]` with twice 16
    /// positions, 32 channels and 32 values of `k` a step.
    ///
    /// - `a`: the 32 values of a position in a line; of step `s` the one half of positions starts at `offsets[s] + halves[0]`,
    ///   the other at `offsets[s] + halves[1]`;
    /// - `b`: `[step, half of the channels, k / 2]`, in a line the pairs (even `k` below) of 16 channels.
    pub fn product(
        &self,
        (a, halves): (&[Line], [usize; 2]),
        offsets: &[usize],
        b: &[Line],
        out: &mut [Lane; BLOCK * 2],
    ) {
        let steps = offsets.len();
        assert!(steps > 0 && b.len() >= steps * BLOCK);
        let furthest = offsets
            .iter()
            .max()
            .map_or(0, |offset| offset + halves[0].max(halves[1]));
        assert!(furthest + ROWS <= a.len());
        // SAFETY: the assertions above keep every tile that is loaded inside its slice; `out` has room for four tiles. No
        // tile register is in use elsewhere: the compiler has no code that uses them.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "mov {at}, qword ptr [{offset}]",
                "shl {at}, 6",
                "lea {other}, [{second} + {at}]",
                "add {at}, {first}",
                "tileloadd tmm4, [{at} + {line} * 1]",
                "tileloadd tmm6, [{b} + {line} * 1]",
                "tileloadd tmm7, [{b} + {line} * 1 + 1024]",
                "tileloadd tmm5, [{other} + {line} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {b}, 2048",
                "add {offset}, 8",
                "dec {steps}",
                "jnz 2b",
                "lea {at}, [{line} * 2]",
                "tilestored [{out} + {at} * 1], tmm0",
                "tilestored [{out} + {at} * 1 + 64], tmm1",
                "tilestored [{out} + {at} * 1 + 2048], tmm2",
                "tilestored [{out} + {at} * 1 + 2112], tmm3",
                b = inout(reg) b.as_ptr() => _,
                first = in(reg) a.as_ptr().add(halves[0]),
                second = in(reg) a.as_ptr().add(halves[1]),
                offset = inout(reg) offsets.as_ptr() => _,
                steps = inout(reg) steps => _,
                line = in(reg) size_of::<Line>(),
                out = in(reg) out.as_mut_ptr(),
                at = out(reg) _,
                other = out(reg) _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: only made where the tiles are.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}
