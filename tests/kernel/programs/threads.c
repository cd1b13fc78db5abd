#include "check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter, turn; static __thread int local = 5; static pthread_barrier_t barrier; static pthread_key_t key;
static void *count(void *arg) { for (int i = 0; i < 500; i++) { pthread_mutex_lock(&lock); counter++; pthread_mutex_unlock(&lock); if (i % 100 == 0) sched_yield(); } local += (long)arg; return (void *)(long)local; }
static void *pong(void *arg) { for (int i = 0; i < 20; i++) { pthread_mutex_lock(&lock); while (!turn) pthread_cond_wait(&cond, &lock); turn = 0; pthread_cond_broadcast(&cond); pthread_mutex_unlock(&lock); } return 0; }
static void *meet(void *arg) { pthread_barrier_wait(&barrier); return 0; }
static void *hold(void *arg) { pthread_mutex_lock(arg); return 0; }
static void *loop(void *arg) { for (;;) pause(); }
static volatile pid_t handled; static void on(int s) { handled = syscall(SYS_gettid); }
static void *spin(void *arg) { while (!handled) ; return 0; }
static void *leave(void *arg) { SAY("exit_group from a thread"); exit(12); }

int main() {
    pthread_t t[4]; long sum = 0; void *r;
    for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, count, (void *)i);
    for (int i = 0; i < 4; i++) { pthread_join(t[i], &r); sum += (long)r; }
    SAY("counted %d locals %ld main %d", counter, sum, local);
    pthread_create(&t[0], 0, pong, 0);
    for (int i = 0; i < 20; i++) { pthread_mutex_lock(&lock); while (turn) pthread_cond_wait(&cond, &lock); turn = 1; pthread_cond_broadcast(&cond); pthread_mutex_unlock(&lock); }
    pthread_join(t[0], 0); SAY("ping pong");
    pthread_barrier_init(&barrier, 0, 4);
    for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, meet, 0);
    pthread_barrier_wait(&barrier); for (int i = 0; i < 3; i++) pthread_join(t[i], 0); SAY("barrier");
    struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); ts.tv_nsec += 20000000; if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
    pthread_mutex_lock(&lock); SAY("timed wait %s", strerrorname_np(pthread_cond_timedwait(&cond, &lock, &ts))); pthread_mutex_unlock(&lock);

    pthread_mutexattr_t at; pthread_mutexattr_init(&at); pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST); pthread_mutex_t robust; pthread_mutex_init(&robust, &at);
    pthread_create(&t[0], 0, hold, &robust); pthread_join(t[0], 0); SAY("robust %s", strerrorname_np(pthread_mutex_lock(&robust)));

    pthread_create(&t[0], 0, loop, 0); pthread_cancel(t[0]); pthread_join(t[0], &r); SAY("cancelled %d", r == PTHREAD_CANCELED);
    signal(SIGUSR1, on); pthread_create(&t[0], 0, spin, 0); pthread_kill(t[0], SIGUSR1); pthread_join(t[0], 0); SAY("signal to the thread %d", handled && handled != getpid());

    int word = 1; SAY("futex %s", err(syscall(SYS_futex, &word, 0, 2, 0, 0, 0))); ts = (struct timespec){0, 10000000};
    SAY("futex timeout %s", err(syscall(SYS_futex, &word, 0, 1, &ts, 0, 0))); SAY("futex wake %ld", syscall(SYS_futex, &word, 1, 5, 0, 0, 0));

    pthread_create(&t[0], 0, loop, 0); int st; pid_t p = fork(); if (!p) _exit(3); waitpid(p, &st, 0); SAY("fork with threads %d", WEXITSTATUS(st));
    if (!(p = fork())) { pthread_create(&t[0], 0, leave, 0); for (;;) pause(); }
    waitpid(p, &st, 0); SAY("its status %d", WEXITSTATUS(st));
    if (!(p = fork())) { pthread_create(&t[0], 0, loop, 0); execl("/bin/echo", "echo", "exec with threads", NULL); }
    waitpid(p, &st, 0); SAY("its status %d", WEXITSTATUS(st));
    if (!(p = fork())) { pthread_create(&t[0], 0, loop, 0); pthread_exit(0); } msleep(20); kill(p, SIGTERM); waitpid(p, &st, 0); SAY("main thread gone, killed by %d", WTERMSIG(st));
    return 0;
}
