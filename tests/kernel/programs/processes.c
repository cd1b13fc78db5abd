#include "check.h"
extern char **environ;

static siginfo_t chld; static volatile int chlds;
static void on_chld(int s, siginfo_t *i, void *c) { chld = *i; chlds++; }
static void tell(const char *what, int st) {
    if (WIFEXITED(st)) SAY("%s: exited %d", what, WEXITSTATUS(st));
    else if (WIFSIGNALED(st)) SAY("%s: signal %d", what, WTERMSIG(st));
    else if (WIFSTOPPED(st)) SAY("%s: stopped %d", what, WSTOPSIG(st));
    else if (WIFCONTINUED(st)) SAY("%s: continued", what);
}
static int sum(int n) { char pad[4096]; memset(pad, n, sizeof pad); return n ? sum(n - 1) + pad[7] / (n + 1) + 1 : 0; }

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child")) {
        SAY("child: %s %s fd9 %s", argv[2], getenv("KEY") ?: "(none)", err(fcntl(9, F_GETFD)));
        struct sigaction a; sigaction(SIGUSR1, 0, &a); SAY("handler reset %d", a.sa_handler == SIG_DFL);
        sigaction(SIGUSR2, 0, &a); SAY("ignored kept %d", a.sa_handler == SIG_IGN);
        sigset_t m; sigprocmask(0, 0, &m); SAY("mask kept %d", sigismember(&m, SIGHUP));
        return 5;
    }
    int st, r; pid_t p;
    if (!(p = fork())) _exit(300);
    r = waitpid(p, &st, 0) == p; tell("fork", st);
    SAY("again %s", err(waitpid(p, &st, 0)));
    if (!(p = fork())) { kill(getpid(), SIGKILL); }
    waitpid(p, &st, 0); tell("killed", st);
    if (!(p = fork())) { abort(); }
    waitpid(p, &st, 0); tell("abort", st);

    int go[2]; char c; pipe(go);                /* a child goes on when it is told to */
    if (!(p = fork())) { read(go[0], &c, 1); _exit(1); }
    SAY("WNOHANG %d", waitpid(-1, &st, WNOHANG));
    SAY("other group %s", err(waitpid(-999, &st, 0)));
    write(go[1], "x", 1); waitpid(0, &st, 0); tell("own group", st);

    /* stop and continue */
    struct sigaction a = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART}; sigaction(SIGCHLD, &a, 0);
    if (!(p = fork())) { raise(SIGSTOP); read(go[0], &c, 1); _exit(9); }
    waitpid(p, &st, WUNTRACED); tell("stop", st); SAY("chld code %d status %d pid %d", chld.si_code, chld.si_status, chld.si_pid == p);
    kill(p, SIGCONT); waitpid(p, &st, WCONTINUED); tell("cont", st); while (chlds < 2) sched_yield(); write(go[1], "x", 1);
    waitpid(p, &st, 0); tell("end", st); SAY("chld code %d status %d", chld.si_code, chld.si_status);
    if (!(p = fork())) { for (;;) pause(); }
    msleep(10); kill(p, SIGSTOP); waitpid(p, &st, WUNTRACED); kill(p, SIGTERM); msleep(10);
    SAY("stopped ones do not die of TERM: %d", waitpid(p, &st, WNOHANG)); kill(p, SIGCONT); waitpid(p, &st, 0); tell("then", st);
    signal(SIGCHLD, SIG_DFL);

    siginfo_t si;
    if (!(p = fork())) _exit(4);
    r = waitid(P_PID, p, &si, WEXITED | WNOWAIT); SAY("waitid %s code %d status %d", err(r), si.si_code, si.si_status);
    waitpid(p, &st, 0); tell("after WNOWAIT", st);
    SAY("waitid none %s", err(waitid(P_ALL, 0, &si, WEXITED)));
    SAY("waitid bad %s", err(waitid(P_ALL, 0, &si, 0)));

    signal(SIGCHLD, SIG_IGN);
    if (!(p = fork())) _exit(0);
    SAY("no zombies %s", err(waitpid(p, &st, 0)));
    signal(SIGCHLD, SIG_DFL);

    /* orphans go to the subreaper */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!(p = fork())) { if (!fork()) { read(go[0], &c, 1); _exit(getppid() == 1 ? 1 : 2); } _exit(0); }
    waitpid(p, &st, 0); write(go[1], "x", 1); p = wait(&st); tell("adopted", st);
    /* a stopped job whose shell ends is hung up */
    if (!(p = fork())) { setsid(); if (!(p = fork())) { setpgid(0, 0); raise(SIGSTOP); _exit(3); } waitpid(p, &st, WUNTRACED); tell("job", st); _exit(0); }
    waitpid(p, &st, 0); tell("its shell", st); p = wait(&st); tell("orphaned job", st);
    /* a stop signal stops no orphan, which nobody could continue */
    if (!(p = fork())) { setsid(); raise(SIGTSTP); _exit(4); } waitpid(p, &st, WUNTRACED); tell("orphan", st);
    prctl(PR_SET_CHILD_SUBREAPER, 0);

    /* memory is copied */
    int value = 1; static char big[1 << 20]; big[500000] = 7;
    if (!(p = fork())) { value = 2; big[500000] = 8; _exit(sum(50) > 0 && big[500000] == 8 ? 0 : 1); }
    waitpid(p, &st, 0); tell("copy", st); SAY("ours %d %d", value, big[500000]);
    volatile int shared = 0;
    if (!(p = vfork())) { shared = 3; _exit(6); }
    waitpid(p, &st, 0); tell("vfork", st); SAY("vfork shares %d", shared);

    /* groups and sessions */
    if (!(p = fork())) { setpgid(0, 0); SAY("leads %d", getpgrp() == getpid()); SAY("setsid of a leader %s", err(setsid())); _exit(0); }
    waitpid(p, &st, 0);
    if (!(p = fork())) { pid_t s = setsid(); SAY("session %d group %d", s == getpid() && getsid(0) == s, getpgrp() == s); SAY("setpgid of a leader %s", err(setpgid(0, 0))); _exit(0); }
    waitpid(p, &st, 0);
    SAY("setpgid nobody %s", err(setpgid(999999, 0))); SAY("setpgid to nowhere %s", err(setpgid(0, 999999)));
    if (!(p = fork())) { setpgid(0, 0); if (!fork()) for (;;) pause(); for (;;) pause(); }
    setpgid(p, p); msleep(20); kill(-p, SIGTERM); waitpid(-p, &st, 0); tell("group killed", st);
    SAY("group now empty %d", kill(-p, 0) == 0 || errno == ESRCH);

    /* execve */
    signal(SIGUSR1, (void (*)(int))on_chld); signal(SIGUSR2, SIG_IGN);
    sigset_t m; sigemptyset(&m); sigaddset(&m, SIGHUP); sigprocmask(SIG_BLOCK, &m, 0);
    dup2(1, 9); fcntl(9, F_SETFD, FD_CLOEXEC);
    if (!(p = fork())) { char *v[] = {"x", "child", "a b", 0}, *e[] = {"KEY=value", 0}; execve("/proc/self/exe", v, e); execve(argv[0], v, e); _exit(1); }
    waitpid(p, &st, 0); tell("exec", st);
    char *v[] = {argv[0], "child", "spawned", 0};
    r = posix_spawn(&p, argv[0], 0, 0, v, environ); waitpid(p, &st, 0); SAY("spawn %d", r); tell("spawn", st);
    r = posix_spawnp(&p, "no-such-program", 0, 0, v, environ); SAY("spawn nothing %s", strerrorname_np(r));
    SAY("exec of nothing %s", err(execl("/nonexistent", "x", NULL)));
    SAY("exec of a directory %s", err(execl("/usr", "x", NULL)));
    SAY("exec of a text %s", err(execl("/etc/passwd", "x", NULL)));
    SAY("exec empty path %s", err(execl("", "x", NULL)));
    SAY("exec bad pointer %s", err(syscall(SYS_execve, 8, 0, 0)));
    char *huge = malloc(200000); memset(huge, 'a', 199999); huge[199999] = 0;
    SAY("argument too long %s", err(execl(argv[0], "x", huge, NULL)));
    if (!(p = fork())) { struct rlimit l = {3, 3}; setrlimit(RLIMIT_NOFILE, &l); SAY("nofile %s", err(dup(0))); _exit(0); }
    waitpid(p, &st, 0);
    struct rlimit l; getrlimit(RLIMIT_STACK, &l); SAY("stack limit %ld", (long)l.rlim_cur);
    prctl(PR_SET_NAME, "a-name-longer-than-fifteen"); char name[16]; prctl(PR_GET_NAME, name); SAY("name %s", name);
    struct utsname u; uname(&u); SAY("%s %s", u.sysname, u.machine);
    SAY("exit status of threads' process"); fflush(stdout);
    return 0;
}
