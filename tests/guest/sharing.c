/* Processes among each other: shared memory, spawned programs, trees of forks, pipes, what the kernel hands a program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t alarms;
static int bell = -1;                           /* where an alarm is heard, too */
static void on_alarm(int signo) { alarms++; if (bell >= 0) write(bell, "!", 1); }

static int tree(int depth)                      /* the number of processes below, by their exit statuses */
{
    int sum = 1;
    for (int i = 0; i < 2 && depth; i++) {
        pid_t child = fork();
        if (!child)
            _exit(tree(depth - 1));
        int status;
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }
    return sum;
}

static int status_of(pid_t child)
{
    int status;
    waitpid(child, &status, 0);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return printf("spawned %s %s\n", argv[1], getenv("SPAWNED")), fflush(stdout), 5;
    setvbuf(stdout, 0, _IOLBF, 0);
    struct { atomic_int turn; int log[20]; sem_t sem; } *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *own = 1;
    sem_init(&shared->sem, 1, 0);
    pid_t child = fork();
    if (!child) {
        *own = 2;
        for (int i = 1; i < 20; i += 2) {
            while (shared->turn != i)
                sched_yield();
            shared->log[i] = i * i;
            shared->turn++;
        }
        sem_post(&shared->sem);
        _exit(0);
    }
    for (int i = 0; i < 20; i += 2) {
        while (shared->turn != i)
            sched_yield();
        shared->log[i] = -i;
        shared->turn++;
    }
    sem_wait(&shared->sem);
    int sum = 0;
    for (int i = 0; i < 20; i++)
        sum += shared->log[i];
    printf("taking turns in shared memory: %d, own: %d, %d\n", sum, *own, status_of(child));

    int file = memfd_create("shared", 0);
    ftruncate(file, 8192);
    char *first = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), *second = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 4096);
    strcpy(first + 4096, "seen twice");
    char text[11] = "";
    pread(file, text, 10, 4096);
    printf("%s, %s\n", second, text);
    pwrite(file, "written", 7, 4096);
    printf("%s\n", second);

    char *arguments[] = { argv[0], "argument", 0 }, *variables[] = { "SPAWNED=variable", 0 };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    pid_t spawned;
    int failed = posix_spawn(&spawned, "/proc/self/exe", &actions, 0, arguments, variables);
    printf("spawn %d, exit %d\n", failed, WEXITSTATUS(status_of(spawned)));
    failed = posix_spawn(&spawned, "/no/such/program", 0, 0, arguments, environ);
    printf("spawn of nothing: %s\n", strerror(failed));
    child = vfork();
    if (!child)
        execle("/proc/self/exe", "x", "vforked", (char *)0, variables), _exit(1);
    printf("vfork: exit %d\n", WEXITSTATUS(status_of(child)));
    printf("tree: %d\n", tree(3));
    printf("no child left: %d %s\n", wait(0), strerror(errno));

    int pipes[2], more[2];
    pipe(pipes);
    pipe2(more, O_NONBLOCK);
    printf("empty pipe: %zd %s\n", read(more[0], text, 1), strerror(errno));
    long room = 0;
    static char block[4096];
    while (write(more[1], block, sizeof block) == sizeof block)
        room += sizeof block;
    printf("a pipe holds %ld\n", room);
    signal(SIGPIPE, SIG_IGN);
    close(pipes[0]);
    printf("no reader: %zd %s\n", write(pipes[1], "x", 1), strerror(errno));
    if (!(child = fork())) {
        signal(SIGPIPE, SIG_DFL);
        write(pipes[1], "x", 1);
        _exit(0);
    }
    printf("killed by %d\n", WTERMSIG(status_of(child)));

    struct pollfd polled[] = { { pipes[1], POLLOUT }, { more[0], POLLIN }, { more[1], POLLOUT }, { 99, POLLIN } };
    int ready = poll(polled, 4, 0);
    printf("poll %d: %x %x %x %x\n", ready, polled[0].revents, polled[1].revents, polled[2].revents, polled[3].revents);
    int events = epoll_create1(0), counter = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    epoll_ctl(events, EPOLL_CTL_ADD, counter, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = 1 });
    epoll_ctl(events, EPOLL_CTL_ADD, timer, &(struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.u32 = 2 });
    struct epoll_event event[4];
    printf("epoll: %d", epoll_wait(events, event, 4, 0));
    eventfd_write(counter, 3);
    printf(" %d", epoll_wait(events, event, 4, -1));
    printf(" %u", event[0].data.u32);
    eventfd_t value;
    eventfd_read(counter, &value);
    timerfd_settime(timer, 0, &(struct itimerspec){ .it_value.tv_nsec = 2000000 }, 0);
    printf(" %d %u, counted %d\n", epoll_wait(events, event, 4, 5000), event[0].data.u32, (int)value);

    struct sigaction action = { .sa_handler = on_alarm };
    sigaction(SIGALRM, &action, 0);
    pipe(pipes);
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 3000, .it_interval.tv_usec = 3000 }, 0);      /* the first may come before the read */
    ssize_t got = read(pipes[0], text, 1);
    printf("interrupted: %zd %s, ", got, strerror(errno));
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, 0);
    printf("%d\n", alarms > 0);
    alarms = 0;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, 0);
    int bells[2];
    pipe(bells);
    if (!(child = fork())) {
        read(bells[0], text, 1);
        write(pipes[1], "r", 1);
        _exit(0);
    }
    bell = bells[1];
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 3000 }, 0);
    got = read(pipes[0], text, 1);
    printf("restarted: %zd, %d\n", got, (int)alarms);
    bell = -1;
    status_of(child);
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 2000, .it_interval.tv_usec = 2000 }, 0);
    while (alarms < 6) { }                                  /* no system call in this loop */
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, 0);
    printf("alarms in a loop: %d\n", alarms >= 6);

    unsigned char *given = (unsigned char *)getauxval(AT_RANDOM), made[16], other[16];
    getrandom(made, 16, 0);
    getentropy(other, 16);
    printf("random: %d %d\n", memcmp(made, other, 16) != 0 && memcmp(made, given, 16) != 0, made[0] != made[1] || made[1] != made[2]);
    printf("page %lu, base %d, entry %d, %s, secure %lu\n", getauxval(AT_PAGESZ), getauxval(AT_PHDR) != 0, getauxval(AT_ENTRY) != 0,
           (char *)getauxval(AT_PLATFORM), getauxval(AT_SECURE));

    int sockets[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
    struct iovec piece = { "fd", 2 };
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    memcpy(CMSG_DATA(&control.header), &file, sizeof file);
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    sendmsg(sockets[0], &message, 0);
    char room2[8];
    piece = (struct iovec){ room2, sizeof room2 };
    got = recvmsg(sockets[1], &message, 0);
    int passed;
    memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
    pread(passed, text, 7, 4096);
    printf("a descriptor through a socket: %zd, %d, %.7s\n", got, passed != file, text);
    return 0;
}
