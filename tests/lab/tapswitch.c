/* An Ethernet switch in user space, one TAP port per network namespace, whose ports behave like links: rate and bounded
 * queue each way, and on the way up also delay, jitter and loss. For kernels without sch_netem.
 *
 *   tapswitch IFNAME NETNS_PATH...       one port for each namespace; prints "ready"
 *
 * A frame waits for its turn on the sender's uplink, is perhaps lost, travels (delay, jitter: order is kept), waits for its
 * turn on the receiver's downlink, and arrives. Commands come as lines on standard input and are answered by one line:
 *
 *   shape PORT UP_BPS DOWN_BPS DELAY_US JITTER_US LOSS_PPM QUEUE_US      rates in bit/s, 0 is no limit
 *   group PORT GROUP                                                     frames pass only within a group
 *   carrier PORT 0|1
 *
 * The end of standard input ends the switch, so it never outlives whoever started it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 64, FRAME_MAX = 2048, BURST = 64, MAC = 6, LINE = 512 };

typedef uint64_t ns_t;

struct lane { double bps; ns_t free_at; };             /* one direction of a link: when it has sent all it was given */

struct port {
    int fd, group;
    bool plugged;
    struct lane up, down;
    ns_t delay, jitter, queue, last_arrival;
    uint32_t loss_ppm;
    unsigned char mac[MAC];                             /* the address its namespace was last seen to use */
};

struct frame {
    ns_t due;
    uint64_t sequence;                                  /* frames due at the same time keep their order */
    int from, to;                                       /* `to` < 0: still on the way to the switch */
    int size;
    unsigned char bytes[FRAME_MAX];
};

static struct port ports[PORTS_MAX];
static int port_count;
static struct frame **heap;                             /* earliest first */
static size_t heap_size, heap_room;
static uint64_t sequence, dice;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static ns_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ns_t)t.tv_sec * 1000000000u + (ns_t)t.tv_nsec;
}

static uint32_t roll(uint32_t sides)                    /* splitmix64 */
{
    uint64_t z = (dice += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % sides);
}

static bool earlier(const struct frame *a, const struct frame *b)
{
    return a->due != b->due ? a->due < b->due : a->sequence < b->sequence;
}

static void heap_push(struct frame *f)
{
    if (heap_size == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = realloc(heap, heap_room * sizeof *heap);
        if (!heap)
            die("memory");
    }
    f->sequence = sequence++;
    size_t at = heap_size++;
    for (; at && earlier(f, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = f;
}

static struct frame *heap_pop(void)
{
    struct frame *top = heap[0], *last = heap[--heap_size];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && earlier(heap[child + 1], heap[child]))
            child++;
        if (!earlier(heap[child], last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* When will a frame that comes at `at` have left the lane? False when the queue before it is full. */
static bool take_turn(struct lane *lane, ns_t queue, ns_t at, int size, ns_t *done)
{
    *done = at;
    if (lane->bps <= 0)
        return true;
    ns_t start = lane->free_at > at ? lane->free_at : at;
    if (start - at > queue)
        return false;
    *done = lane->free_at = start + (ns_t)(size * 8e9 / lane->bps);
    return true;
}

static void from_port(int index, struct frame *f)
{
    struct port *p = &ports[index];
    ns_t sent;
    memcpy(p->mac, f->bytes + MAC, MAC);
    if (!p->plugged || !take_turn(&p->up, p->queue, f->due, f->size, &sent) || roll(1000000) < p->loss_ppm) {
        free(f);
        return;
    }
    sent += p->delay + (p->jitter ? roll((uint32_t)(p->jitter / 1000) + 1) * 1000u : 0);
    if (sent < p->last_arrival)
        sent = p->last_arrival;
    p->last_arrival = f->due = sent;
    f->from = index;
    f->to = -1;
    heap_push(f);
}

static void to_port(const struct frame *f, int index)
{
    struct port *p = &ports[index];
    ns_t arrives;
    if (index == f->from || !p->plugged || p->group != ports[f->from].group ||
        !take_turn(&p->down, p->queue, f->due, f->size, &arrives))
        return;
    struct frame *copy = malloc(sizeof *copy);
    if (!copy)
        die("memory");
    memcpy(copy, f, offsetof(struct frame, bytes) + (size_t)f->size);
    copy->to = index;
    copy->due = arrives;
    heap_push(copy);
}

static void forward(const struct frame *f)
{
    if (!(f->bytes[0] & 1))
        for (int i = 0; i < port_count; i++)
            if (!memcmp(ports[i].mac, f->bytes, MAC)) {
                to_port(f, i);
                return;
            }
    for (int i = 0; i < port_count; i++)
        to_port(f, i);
}

static void move_what_is_due(void)
{
    while (heap_size && heap[0]->due <= clock_now()) {
        struct frame *f = heap_pop();
        if (f->to < 0)
            forward(f);
        else if (ports[f->to].plugged && write(ports[f->to].fd, f->bytes, (size_t)f->size) < 0 && errno != EAGAIN && errno != EIO)
            die("write");
        free(f);
    }
}

static void read_port(int index)
{
    for (int i = 0; i < BURST; i++) {
        struct frame *f = malloc(sizeof *f);
        if (!f)
            die("memory");
        f->size = (int)read(ports[index].fd, f->bytes, FRAME_MAX);
        if (f->size < 2 * MAC) {
            free(f);
            return;
        }
        f->due = clock_now();
        from_port(index, f);
    }
}

static int open_tap(const char *name, const char *namespace)
{
    int ns = open(namespace, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(namespace);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        die("/dev/net/tun");
    return fd;
}

static const char *obey(const char *line)
{
    int index, value;
    double up, down;
    unsigned delay, jitter, loss, queue;
    if (sscanf(line, "%*s %d", &index) != 1 || index < 0 || index >= port_count)
        return "no such port";
    struct port *p = &ports[index];
    if (sscanf(line, "shape %*d %lf %lf %u %u %u %u", &up, &down, &delay, &jitter, &loss, &queue) == 6) {
        p->up.bps = up;
        p->down.bps = down;
        p->delay = delay * 1000ull;
        p->jitter = jitter * 1000ull;
        p->loss_ppm = loss;
        p->queue = queue * 1000ull;
    } else if (sscanf(line, "group %*d %d", &value) == 1) {
        p->group = value;
    } else if (sscanf(line, "carrier %*d %d", &value) == 1) {
        p->plugged = value;
        if (ioctl(p->fd, TUNSETCARRIER, &value) < 0)
            return strerror(errno);
    } else {
        return "no such command";
    }
    return "ok";
}

static void read_commands(void)
{
    static char pending[LINE];
    static size_t have;
    ssize_t got = read(STDIN_FILENO, pending + have, sizeof pending - 1 - have);
    if (got <= 0)
        exit(0);
    have += (size_t)got;
    pending[have] = 0;
    char *line = pending, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        puts(obey(line));
    }
    fflush(stdout);
    have = strlen(line);
    memmove(pending, line, have);
    if (have == sizeof pending - 1)
        exit(1);
}

int main(int argc, char **argv)
{
    struct pollfd polled[PORTS_MAX + 1];
    if (argc < 3 || argc - 2 > PORTS_MAX) {
        fprintf(stderr, "usage: tapswitch IFNAME NETNS_PATH... (at most %d)\n", PORTS_MAX);
        return 2;
    }
    dice = clock_now();
    for (port_count = 0; port_count < argc - 2; port_count++) {
        ports[port_count] = (struct port){.fd = open_tap(argv[1], argv[2 + port_count]), .plugged = true};
        polled[port_count] = (struct pollfd){.fd = ports[port_count].fd, .events = POLLIN};
    }
    polled[port_count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    puts("ready");
    fflush(stdout);
    for (;;) {
        move_what_is_due();
        struct timespec wait = {0};
        if (heap_size) {
            ns_t now = clock_now(), left = heap[0]->due > now ? heap[0]->due - now : 0;
            wait = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        }
        if (ppoll(polled, (nfds_t)port_count + 1, heap_size ? &wait : NULL, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int i = 0; i < port_count; i++)
            if (polled[i].revents & POLLIN)
                read_port(i);
        if (polled[port_count].revents)
            read_commands();
    }
}
