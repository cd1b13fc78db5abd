"""A machine run on an image, before anybody visits, until it has translated what common programs do.

Knows which programs these are, and something for each to do that takes the ways it usually takes; does not know what
becomes of the files.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from webvm.block import FileDevice
from webvm.machine import BadImage, Errno, Machine, Memory, exit_status, ship

WARM = 3000             # arrivals after which code of ROWS is about to be translated: it costs no visitor anything
WARM_LARGE = 8000       # and of LARGE, for there is so much of it
SECONDS = 150           # of processor time that all rows may take; those for which none is left are left out
BATCH = 16              # regions in a module, about: each module costs a visitor time
LOOK = 0.2              # seconds between two looks at the time

Say = Callable[[str], None]
Rows = Iterable[tuple[str, str]]

PYTHON = """
import json, re, math, collections
class Point:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, other): return Point(self.x + other.x, self.y + other.y)
    def length(self): return math.sqrt(self.x * self.x + self.y * self.y)
def walk(n):
    for i in range(n):
        yield i if i % 3 else -i
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
for turn in range(15):
    p = Point(0.0, 0.0)
    for i in walk(700): p = p + Point(i * 0.5, 1.0)
    words = [f"{i}:{i % 17:03d}" for i in range(500)]
    table = collections.defaultdict(list)
    for word in words: table[word[-3:]].append(word.upper().lower())
    order = sorted(table.items(), key=lambda row: (len(row[1]), row[0]))
    text = json.dumps({"a": [1, 2.5, None, "x" * 20], "b": {k: len(v) for k, v in order}, "c": words[:60]})
    found = json.loads(text)
    count = sum(len(match) for match in re.findall(r"[0-9]+:0*([1-9]+)", text))
    parts = ",".join(str(x * 3 + 1) for x in range(300)).split(",")
    total = sum(map(int, parts)) % 1000003 + fib(11)
    big = pow(7, 60 + turn) // 3
    cells = [[(i * j) & 255 for j in range(24)] for i in range(24)]
    flat = bytearray(sum(cells, []))
    try:
        found["d"]
    except KeyError:
        count += 1
print(total, count, p.length())
"""

PERL = r"""
my (%n, @a, $s);
for my $i (1 .. 6000) { my $k = "k" . ($i % 97); $n{$k} += $i; push @a, $i * 3 % 101; $s .= chr(97 + $i % 26); $s = "" if length $s > 200; }
my $t = join ",", map { "$_=$n{$_}" } sort { $n{$a} <=> $n{$b} || $a cmp $b } keys %n;
my $c = 0; while ($t =~ /(\w+)=(\d+)/g) { $c += $2 } (my $u = $t) =~ s/k(\d)/<$1>/g;
sub f { my ($x) = @_; return $x < 2 ? $x : f($x - 1) + f($x - 2) } printf "%d %s %d %s\n", $c, substr($u, 0, 9), f(13), join "", sort { $a <=> $b } @a[0 .. 9];
"""

LUA = """
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local t, s = {}, 0
for i = 1, 6000 do t[#t + 1] = string.format("%d:%s", i, ("x"):rep(i % 7)); s = s + #t[i] end
table.sort(t) local m = {}
for _, v in ipairs(t) do local k = v:match("^(%d)") m[k] = (m[k] or 0) + 1 end
local g = table.concat(t, ","):gsub("x+", "y") for w in g:sub(1, 9000):gmatch("%d+") do s = s + tonumber(w) end
print(fib(17), s, #g)
"""

AWK = "{ n[$1 % 97] += $2; s = s substr($0, 1, 3); if (length(s) > 300) s = \"\"; if ($0 ~ /1[0-9]*7/) c++ } END { for (k in n) t += n[k]; printf \"%d %d\\n\", t, c }"

SQL = """create table t (a integer primary key, b text, c real); create index i on t (b);
begin; with recursive n(x) as (select 1 union all select x + 1 from n where x < 1500) insert into t select x, 'name ' || (x * 7919 % 1500), x / 3.0 from n; commit;
select count(*), sum(c), max(b) from t where b like 'name 1%'; select b, sum(a) from t group by a % 50 order by 2 desc limit 5;
update t set c = c + 1 where a % 3 = 0; select t.a, u.b from t join t u on u.a = t.a + 1 where t.b > 'name 9' order by u.c limit 5; delete from t where a % 5 = 0;"""

C = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; int key; double weight; char name[16]; };
enum kind { ADD, SUB, MUL, DIV };
static int table[64];
static int apply(enum kind kind, int a, int b) { switch (kind) { case ADD: return a + b; case SUB: return a - b; case MUL: return a * b; default: return b ? a / b : 0; } }
static struct node *push(struct node *list, int key) { struct node *n = malloc(sizeof *n); if (!n) abort(); n->next = list; n->key = key; n->weight = key * 0.5; snprintf(n->name, sizeof n->name, "n%d", key); return n; }
static double total(const struct node *list) { double sum = 0; for (; list; list = list->next) sum += list->weight * (list->key & 3 ? 1.5 : 2.0); return sum; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
#define FUNCTION(n) static unsigned f##n(unsigned x, const char *s) { unsigned h = n; for (int i = 0; s[i]; i++) { h = h * 31 + (unsigned char)s[i]; if (h & 1) h ^= x >> 3; else h += x << 2; } return h % (n + 7); }
FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6) FUNCTION(7) FUNCTION(8)
int main(int argc, char **argv) {
    struct node *list = 0;
    for (int i = 0; i < 64; i++) { table[i] = apply(i & 3, i, argc); list = push(list, table[i]); }
    qsort(table, 64, sizeof *table, compare);
    unsigned h = f1(1, argv[0]) + f2(2, argv[0]) + f3(3, argv[0]) + f4(4, "four") + f5(5, "five") + f6(6, "six") + f7(7, "seven") + f8(8, "eight");
    printf("%f %u %d %zu\n", total(list), h, table[5], strlen(argv[0]));
    return 0;
}
"""

# Parts of a larger program, each with numbers of its own in the place of N: what a compiler does goes all over it, so a little is not enough.
C_PART = r"""
typedef struct itemN { struct itemN *left, *right, *next; unsigned char tag; short depth; int key[4]; long value; double ratio; char text[24]; union { float f; unsigned bits; } u; } itemN;
static itemN *rootN, poolN[200]; static unsigned usedN, countN[16]; static const char *const wordsN[] = { "none", "first", "second", "third", "other" };
static int (*handlersN[4])(itemN *, int); extern int outsideN(const char *, ...);
static inline unsigned mixN(unsigned h, unsigned x) { h ^= x * 0x85ebca6bu; h = h << 13 | h >> 19; return h * 5 + N; }
static itemN *insertN(itemN **at, int key, const char *text) { while (*at) { if ((*at)->key[0] == key) { (*at)->value += N; return *at; } at = key < (*at)->key[0] ? &(*at)->left : &(*at)->right; }
    if (usedN >= 200) return 0; itemN *n = &poolN[usedN++]; memset(n, 0, sizeof *n); n->key[0] = key; n->key[key & 3] ^= key >> 2; n->tag = (unsigned char)(key % 7); strncpy(n->text, text ? text : wordsN[key % 5], sizeof n->text - 1); n->ratio = key / (N + 1.5); return *at = n; }
static long sumN(const itemN *n, int depth, double *total) { if (!n) return 0; if (depth > 40) return -1; *total += n->ratio * depth + (n->u.f > 1.0f ? n->u.f : -n->u.f); return sumN(n->left, depth + 1, total) + n->value + sumN(n->right, depth + 1, total); }
static int stepN(itemN *n, int op) { int r = 0; switch (op) { case 0: r = n->key[1] + N; break; case 1: r = n->key[0] * 3 - n->depth; break; case 2: r = n->tag ? n->key[2] / n->tag : -1; break; case 3: n->depth++; /* fall through */
    case 4: r = n->value > N ? (int)(n->value % 1000) : 7; break; case 5: for (int i = 0; i < 4; i++) r ^= n->key[i] << i; break; case 6: r = (int)strlen(n->text); break; case 9: goto out; default: r = op & 1 ? -op : op; } countN[r & 15]++; out: return r < 0 ? -r : r; }
static void matrixN(double a[8][8], double b[8][8], double c[8][8], float *v, int n) { for (int i = 0; i < 8; i++) for (int j = 0; j < 8; j++) { double s = 0; for (int k = 0; k < 8; k++) s += a[i][k] * b[k][j]; c[i][j] = s; } for (int i = 0; i < n; i++) v[i] = v[i] * 2.0f + (float)c[i & 7][N & 7]; }
static size_t parseN(const char *s, char *out, size_t room) { size_t n = 0; int state = 0; for (; *s && n + 2 < room; s++) { unsigned char c = *s; if (state == 0) { if (c == '"') state = 1; else if (c >= '0' && c <= '9') { unsigned long v = 0; do v = v * 10 + (*s - '0'); while (*++s >= '0' && *s <= '9'); s--; n += (size_t)snprintf(out + n, room - n, "<%lu>", v + N); } else if (c > ' ') out[n++] = c; }
    else if (c == '\\' && s[1]) out[n++] = *++s; else if (c == '"') state = 0; else out[n++] = c ^ (c & 64 ? 32 : 0); } out[n] = 0; return n; }
static void sortN(int *a, int n) { for (int gap = n / 2; gap > 0; gap /= 2) for (int i = gap; i < n; i++) { int x = a[i], j = i; while (j >= gap && a[j - gap] > x) { a[j] = a[j - gap]; j -= gap; } a[j] = x; } }
static unsigned long long bitsN(unsigned long long x, int n) { unsigned long long r = 0; while (n-- > 0) { r = r << 1 | (x & 1); x >>= 1; if (!x) break; } return __builtin_popcountll(r) > N ? ~r : r - N; }
int entryN(int argc, char **argv) { double total = 0, a[8][8] = {{0}}, b[8][8], c[8][8]; float v[40]; int keys[64]; char buffer[128]; unsigned h = N;
    for (int i = 0; i < 64; i++) { keys[i] = (i * 37 + N) % 101 - argc; insertN(&rootN, keys[i], i < argc ? argv[i] : 0); h = mixN(h, (unsigned)keys[i]); } for (int i = 0; i < 8; i++) for (int j = 0; j < 8; j++) b[i][j] = a[j][i] + i * j; for (int i = 0; i < 40; i++) v[i] = (float)i / N;
    sortN(keys, 64); matrixN(a, b, c, v, 40); handlersN[N & 3] = stepN; for (unsigned i = 0; i < usedN; i++) if (handlersN[i & 3] && handlersN[i & 3](&poolN[i], (int)(h >> (i & 7)) & 15) > 100) outsideN("%d %s\\n", i, poolN[i].text);
    if (parseN(argv[0], buffer, sizeof buffer) > 100 || bitsN(h, 17) == N) return outsideN(buffer); return (int)(sumN(rootN, 0, &total) + total + c[N & 7][1] + v[3]) ^ (int)h; }
"""

CPP = r"""
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
struct Square : Shape { double side; explicit Square(double s) : side(s) {} double area() const override { return side * side; } };
template <typename T> T largest(const std::vector<T> &all) { if (all.empty()) throw std::string("none"); return *std::max_element(all.begin(), all.end()); }
int main(int argc, char **argv) {
    std::map<std::string, std::vector<int>> found; std::vector<std::unique_ptr<Shape>> shapes; std::vector<double> areas;
    for (int i = 0; i < 50; i++) { found[std::string(argv[i % argc]) + std::to_string(i % 7)].push_back(i); shapes.push_back(std::make_unique<Square>(i)); }
    for (const auto &shape : shapes) areas.push_back(shape->area());
    std::sort(areas.begin(), areas.end(), [](double a, double b) { return a > b; });
    try { return found.size() + static_cast<int>(largest(areas)); } catch (const std::string &why) { return 1; }
}
"""

TEXT = "cd /tmp; [ -e some ] || { ls -l /usr/bin /usr/lib/x86_64-linux-gnu /etc 2>/dev/null | head -c 150000 >some; seq 1 9000 | sed 's/\\(.\\)\\(.*\\)/\\2\\1 &/' >numbers; }; "

#         the program       what a shell is told
# fmt: off
ROWS = (
    ("bash",     "f() { local x=$1; echo $((x * 2)); }; i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); case $i in *7) a=${a:0:30}$i;; *) b=\"$i ${a%x}\";; esac; done; "
                 "for k in 1 2 3 4 5 6 7 8; do c=$(f $k); [[ $c -gt 3 ]] && d+=($c); done; for w in $b $a; do e=${w//1/2}; done; echo ${#d[@]} $e"),
    ("ls",       TEXT + "ls -la /usr/bin; ls -la /usr/bin /etc >/dev/null; ls --color=always /usr/bin | cat"),
    ("sort",     TEXT + "sort numbers | tail -1; sort -n numbers | tail -1; sort -k2,2n -k1,1 numbers | uniq -c | wc; sort -u some | head -2"),
    ("grep",     TEXT + "grep -c e some; grep -E '(th|st)e[a-z]* [0-9]+' some | wc; grep -ri lib some | wc -l; grep -v root some | wc"),
    ("sed",      TEXT + "sed 's/lib/bin/g; /^d/d' some | wc; cut -d' ' -f2,3 numbers | tr 0-9 a-j | tail -1; wc some; head -n 2000 some | tail -n 1000 | nl | wc"),
    ("awk",      TEXT + f"awk '{AWK}' numbers; awk '{AWK}' some"),
    ("python3",  "python3 -c 'print(1)'"),
    ("python3",  "cat >/tmp/a.py <<'E'\n" + PYTHON + "E\npython3 /tmp/a.py"),
    ("gcc",      "cd /tmp; cat >a.c <<'E'\n" + C + "E\ngcc -O2 -c a.c -o a.o && gcc a.o -o a && ./a"),
    ("gcc",      "cd /tmp; printf '#include <stdio.h>\\nint main(void) { puts(\"1\"); }' >b.c; gcc -o b b.c && ./b"),
    ("perl",     "cat >/tmp/a.pl <<'E'\n" + PERL + "E\nperl /tmp/a.pl"),
    ("sqlite3",  "cd /tmp; rm -f a.db; sqlite3 a.db <<'E'\n" + SQL + "\nE"),
    ("lua5.4",   "cat >/tmp/a.lua <<'E'\n" + LUA + "E\nlua5.4 /tmp/a.lua"),
    ("gzip",     TEXT + "gzip -9 -c some | gzip -dc | wc; gzip -c some | wc -c; sha256sum some; md5sum some"),
    ("git",      "cd /tmp; git init -q g; cd g; for i in 1 2 3 4 5 6; do echo $i >f$i; done; git add .; git -c user.name=a -c user.email=a commit -qm a; git --no-pager log; git status -s"),
    ("xz",       TEXT + "xz -T1 -c some | xz -dc | wc"),
    ("bzip2",    TEXT + "bzip2 -c some | bzip2 -dc | wc"),
    ("tar",      TEXT + "tar cf a.tar /etc 2>/dev/null; tar tf a.tar | wc; find /etc /usr/lib -name '*.so' | wc"),
)

LARGE = (
    ("gcc",      "cd /tmp; cat >part <<'E'\n" + C_PART + "E\n(printf '#include <stdio.h>\\n#include <string.h>\\n'; for n in 3 6 12 17; do sed \"s/N\\b/$n/g\" part; done) >c.c; gcc -O2 -c c.c"),
    ("g++",      "cd /tmp; cat >d.cc <<'E'\n" + CPP + "E\ng++ -O2 -c d.cc"),
)
# fmt: on


async def practise(image: Path, say: Say = lambda line: None, turns: Iterable[tuple[int, Rows]] = ((WARM, ROWS), (WARM_LARGE, LARGE)),
                   seconds: float = SECONDS) -> dict[str, bytes]:
    """The files of translated code to be shipped with an image, by name; none where it can't be started.

    turns: rows, and after how many arrivals their code is about to be translated. Each turn is a machine of its own, that has what
    those before it have translated.
    """
    kept, end = Memory(), time.process_time() + seconds
    for warm, rows in turns:
        device = FileDevice(image)
        try:
            machine = await Machine.boot(device=device, code_cache=kept, log=lambda line: None)
            machine.image.warm, machine.image.translator.share, machine.image.translator.least = warm, 0, BATCH
            try:
                await _rehearse(machine, rows, end, say)
            finally:
                await machine.halt()
        except BadImage as error:
            say(f"{image}: {error}")
            return {}
        finally:
            device.close()
    return ship(kept)


async def _rehearse(machine: Machine, rows: Rows, end: float, say: Say) -> None:
    account = await machine.account()
    for program, line in rows:
        try:
            await machine.find(program, account.environment()["PATH"], account.home)
            task = await machine.spawn(["bash", "-c", line], account=account, files=await machine.terminal_files(), tty=machine.tty)
        except Errno:
            continue        # not installed here
        running = asyncio.ensure_future(machine.kernel.wait(task))
        while time.process_time() < end and not (await asyncio.wait([running], timeout=LOOK))[0]:
            pass
        if not running.done():
            running.cancel()
            say(f"no time is left to translate what {program} and those after it do")
            return
        if status := exit_status(running.result()):
            say(f"{program} ended with status {status}")
