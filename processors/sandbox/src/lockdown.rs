//! How a worker gives up what a parser does not need. Nothing here can be undone by the process.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::Limits;

/// Ties the worker's life to its parent's.
pub(crate) fn die_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Takes memory, descriptors, core dumps and the system calls that reach outside from the whole process.
pub(crate) fn lock_down(limits: &Limits) -> anyhow::Result<()> {
    for (resource, most) in
        [(Resource::As, limits.address_space_bytes), (Resource::Core, 0), (Resource::Nofile, limits.descriptors)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    seccompiler::apply_filter_all_threads(&system_calls::filter()?)?;
    Ok(())
}

/// Lets the process use `cpu` more processor time than it has used so far; SIGXCPU ends it then.
pub(crate) fn allow_cpu(cpu: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0));
    let seconds = (used + cpu).as_secs() + 1;
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: None })?)
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod system_calls {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition as Condition,
        SeccompFilter, SeccompRule,
    };

    /// Memory, locks, clocks, signals to oneself, the pipes that are open: enough for a parser.
    const ALLOWED: [libc::c_long; 34] = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_membarrier,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrusage,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_sysinfo,
        libc::SYS_uname,
    ];

    /// Everything else fails with EPERM: a library that tries one goes on without, and reaches nothing.
    pub(super) fn filter() -> anyhow::Result<BpfProgram> {
        let own_pid = u64::from(std::process::id());
        let not_executable = || Condition::new(2, Length::Dword, Op::MaskedEq(libc::PROT_EXEC as u64), 0);
        let limited = [
            (libc::SYS_mmap, not_executable()?),
            (libc::SYS_mprotect, not_executable()?),
            (libc::SYS_tgkill, Condition::new(0, Length::Dword, Op::Eq, own_pid)?),
            (libc::SYS_prlimit64, Condition::new(0, Length::Dword, Op::Eq, 0)?),
        ];
        let mut rules: std::collections::BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        for (call, condition) in limited {
            rules.insert(call, vec![SeccompRule::new(vec![condition])?]);
        }
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
        Ok(filter.try_into()?)
    }
}
