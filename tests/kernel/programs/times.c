#include "check.h"

static volatile int alarms; static void on(int s) { alarms++; }
static double since(struct timespec *a) { struct timespec b; clock_gettime(CLOCK_MONOTONIC, &b); return b.tv_sec - a->tv_sec + (b.tv_nsec - a->tv_nsec) / 1e9; }

int main() {
    struct timespec a, r; clock_gettime(CLOCK_MONOTONIC, &a); msleep(30); double d = since(&a); SAY("slept %d", d >= 0.03 && d < 2);
    r = a; r.tv_sec += 0; r.tv_nsec += 60000000; if (r.tv_nsec >= 1000000000) r.tv_sec++, r.tv_nsec -= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &r, 0); SAY("until %d", since(&a) >= 0.06);
    SAY("time %d", llabs(time(0) - (long long)({struct timeval t; gettimeofday(&t, 0); t.tv_sec;})) <= 1);
    SAY("bad clock %s", err(clock_gettime(77, &r))); r.tv_nsec = -1; SAY("bad sleep %s", err(nanosleep(&r, 0)));
    clock_getres(CLOCK_MONOTONIC, &r); SAY("resolution %ld", r.tv_nsec);
    signal(SIGALRM, on); alarm(100); SAY("alarm left %d", alarm(0));
    struct itimerval it = {{0, 10000}, {0, 10000}}; setitimer(ITIMER_REAL, &it, 0); while (alarms < 3) pause(); it = (struct itimerval){{0}}; setitimer(ITIMER_REAL, &it, 0); SAY("interval");
    signal(SIGVTALRM, on); alarms = 0; it.it_value.tv_usec = 20000; setitimer(ITIMER_VIRTUAL, &it, 0); while (!alarms); SAY("virtual");
    timer_t t; struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; signal(SIGUSR1, on); alarms = 0; timer_create(CLOCK_MONOTONIC, &ev, &t);
    sigset_t m, open; sigemptyset(&m); sigprocmask(SIG_BLOCK, &m, &open); sigaddset(&m, SIGUSR1); sigprocmask(SIG_BLOCK, &m, 0);      /* not before it is waited for */
    struct itimerspec its = {{0, 0}, {0, 20000000}}; timer_settime(t, 0, &its, 0); sigsuspend(&open); sigprocmask(SIG_SETMASK, &open, 0); SAY("posix timer %d", alarms); timer_delete(t);

    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK); uint64_t n; its = (struct itimerspec){{0, 10000000}, {100, 0}}; timerfd_settime(fd, 0, &its, 0);
    SAY("timerfd %s", err(read(fd, &n, 8))); its = (struct itimerspec){{0, 10000000}, {0, 10000000}}; timerfd_settime(fd, 0, &its, 0); msleep(45); read(fd, &n, 8); SAY("expirations %d", n >= 3);
    int e = eventfd(3, EFD_NONBLOCK); read(e, &n, 8); SAY("eventfd %d %s", (int)n, err(read(e, &n, 8))); n = 5; write(e, &n, 8); n = 2; write(e, &n, 8); read(e, &n, 8); SAY("sum %d", (int)n);
    e = eventfd(2, EFD_SEMAPHORE); read(e, &n, 8); SAY("semaphore %d", (int)n);
    sigemptyset(&m); sigaddset(&m, SIGUSR2); sigprocmask(SIG_BLOCK, &m, 0); int s = signalfd(-1, &m, SFD_NONBLOCK); struct signalfd_siginfo si;
    SAY("signalfd %s", err(read(s, &si, sizeof si))); kill(getpid(), SIGUSR2); read(s, &si, sizeof si); SAY("signalfd got %d from self %d", si.ssi_signo, si.ssi_pid == getpid());
    struct rusage ru; SAY("rusage %s", err(getrusage(RUSAGE_SELF, &ru))); struct tms tm; SAY("times %d", times(&tm) > 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a); for (volatile int i = 0; i < 100000; i++); clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &r); SAY("cpu time runs %d", r.tv_nsec != a.tv_nsec);
    return 0;
}
