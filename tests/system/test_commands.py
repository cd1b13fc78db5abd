"""Debian's programs say here what they say on this host's Linux, byte for byte: output, errors, exit status.

Each case is a bash script that runs as root in an empty directory below /tmp, in both places.
"""

import re

import pytest

from tests.system.machines import in_own_folder

SEEN_AT_THE_END = {
    "uname": "uname -m",
    "os-release": "cat /etc/os-release",
    "count of programs": "ls -la /usr/bin | wc -l",
    "loop and sort": "for i in 1 2 3; do echo $i; done | sort -r",
    "python sum": "python3 -c 'print(sum(range(10**5)))'",
    "written and read back": "echo kept > file; sync; cat file; ls -l file | cut -c1-10",
}

COREUTILS = {
    "ls -la": "ls -la /etc /usr/bin | grep -v -e '[0-9] \\.\\.*$' -e ^total",
    "ls recursive": "ls -R /usr/share/terminfo /etc/apt",
    "ls of links": "ls -l /bin /etc/alternatives; ls -F / | grep -v lost+found; readlink -f /bin/sh /lib64/ld-linux-x86-64.so.2",
    "ls sorts": "touch -d @100 b; touch -d @300 a; touch -d @200 c; ls -t; ls -rt; ls -l --time-style=+%s | tail -n +2; ls --full-time a | cut -c23-",
    "wc": "wc /etc/passwd /etc/group /etc/services; wc -L < /etc/passwd; printf 'ä\\n' | wc -cm",
    "sort": "sort -t: -k3,3n /etc/passwd; sort -u -k2 -t: /etc/group | tail -3; printf '10\\n9\\n1e1\\n' | sort -g; printf 'v1.10\\nv1.9\\n' | sort -V; seq 5000 | sort -R --random-source=/etc/services | md5sum",
    "sort of much": "seq 20000 | shuf --random-source=/usr/bin/bash | sort | md5sum; seq 20000 | sort -n -S 64k -r | head -2",
    "cut and tr": "cut -d: -f1,3-4 --output-delimiter=, /etc/passwd; tr a-z A-Z < /etc/hostname; tr -dc '[:alpha:]' < /etc/passwd; echo aabbcc | tr -s a-c; echo",
    "od": "head -c 300 /usr/bin/true | od -A x -t x1z; printf '\\1\\2\\3\\4\\5\\6\\7\\10' | od -t d8 -t u2 -t f4 -t f8 -t a -t c",
    "float od": "printf 'abcdefghijklmnopqrstuvwxyz012345' | od -t fD -t fF -t fL",
    "checksums": "sha256sum /usr/bin/bash; md5sum /usr/bin/*sum | md5sum; sha1sum /etc/passwd; sha512sum /etc/passwd; b2sum /etc/passwd; cksum /etc/passwd; sum /etc/passwd; sha256sum /etc/passwd | sha256sum -c; cksum -a crc32b /etc/passwd",
    "date": "date -u -d @0; date -u -d '2024-02-29 + 1 year' +%F; TZ=Europe/Berlin date -d @1700000000 '+%c %Z %s %j %V'; date -u -d 'last monday' +%a; date -d nonsense; echo $?",
    "seq": "seq 3; seq -w 8 2 12; seq 0 .1 1; seq -f %05.2f 1 3; seq 5 -2 -3; seq -s, 10; seq 1e6 1000001",
    "printf": "/usr/bin/printf '%d %5.2f %s %x %o %e %g %%\\n' 42 3.14159 text 255 8 12345.678 0.0001; /usr/bin/printf '%.30g %a\\n' 0.1 0.1; /usr/bin/printf '%b' 'tab\\there\\n'; /usr/bin/printf '%d\\n' x; echo $?",
    "expr": "expr 7 \\* 6; expr 10 % 3; expr abc : 'a\\(.\\)'; expr length hello; expr substr hello 2 3; expr index hello l; expr 1 / 0; echo $?; expr 123456789012345678901234567890 + 1; expr 0; echo $?",
    "stat": "touch -d @1000000000 f; chmod 4751 f; stat -c '%n %s %a %A %F %h %u %g %U %G %X %Y %y' f; ln -s nowhere l; stat -c '%N %s %F' l; stat -c '%F %t:%T' /dev/null; stat -f -c '%T %l' /tmp; stat nothing; echo $?",
    "find": "mkdir -p d/e; touch -d @10 d/old; touch d/new; chmod 600 d/new; echo x > d/e/x; find d | sort; find d -type f -newer d/old | sort; find d -perm 600; find d -size -2c -type f | sort; find d -name '*e*' -printf '%p %y %m %d %s\\n' | grep -v ' d '; find d -type f -exec echo {} + | wc -w; find d -depth -delete; ls; find /usr/share/doc -maxdepth 1 | wc -l; find /etc -xtype l | sort",
    "xargs": "seq 10 | xargs -n 3 echo; printf 'a\\0b c\\0' | xargs -0 -I{} echo '<{}>'; seq 4 | xargs -P 2 -n 1 true; echo $?; echo 1 | xargs false; echo $?; echo 1 | xargs nothing; echo $?",
    "head and tail": "seq 100 | head -3; seq 100 | tail -n 3; seq 100 | head -n -98; seq 100 | tail -n +99; printf abc | tail -c 2; echo; head -c 5 /etc/passwd; seq 100000 | head -1; head -1 /etc/passwd /etc/group; tail -1 nothing; echo $?",
    "dd": "dd if=/usr/bin/true bs=1000 count=3 skip=2 status=none | md5sum; dd if=/dev/zero of=z bs=1k count=3 seek=2 2>&1 | head -2; stat -c %s z; printf abcdef | dd conv=ucase,swab status=none; echo; printf x | dd of=z bs=1 seek=1 conv=notrunc status=none; od -c z | head -3",
    "tee": "echo both | tee a b; cat a b; echo more | tee -a a > /dev/null; cat a; echo x | tee /no/such; echo $?",
    "mktemp": "mktemp | sed 's/[^.]*$/X/'; mktemp -d pre-XXXX | cut -c1-4; mktemp nope; echo $?",
    "copies and moves": "mkdir d; echo 1 > d/a; ln d/a d/b; ln -s a d/c; touch -hd @5 d/a d/c; cp -a d e; ls -l --time-style=+%s e; stat -c %h e/a; mv e/a e/z; ls e; cp nothing x; echo $?; cp -r d d/e; echo $?; mv -n e/z e/b; ls e; rm -r e; rm e; echo $?; rmdir d; echo $?; install -m 600 -D d/a x/y/z; stat -c %a x/y/z; cp -s d/a s; readlink s",
    "permissions": "touch f; chmod u=rw,g=r,o= f; stat -c %a f; chmod +x f; stat -c %A f; umask 077; touch g; mkdir h; stat -c %a g h; chown 1000:1000 f; stat -c %U:%G f; chmod 1777 h; ls -ld h | cut -c1-10; chgrp nogroup f; stat -c %G f; chown nobody: f; stat -c %u:%g f",
    "du": "dd if=/dev/zero of=f bs=4096 count=10 status=none; truncate -s 1M s; du -b f s; du --apparent-size -k f s; du -k f s",
    "truncate": "truncate -s 5 f; stat -c %s f; echo hello world > f; truncate -s -6 f; cat f; truncate -s +3 f; od -c f; truncate -s x f; echo $?",
    "env": "env -i A=1 B='two words' env; env -u HOME printenv HOME; echo $?; env nothing; echo $?; printenv PATH; env -S 'echo a  b'; env --chdir=/etc pwd",
    "id": "id; id -u nobody; id -Gn; whoami; groups; id nothing; echo $?; logname; echo $?",
    "numfmt": "numfmt --to=iec 1048576 2000 1e9; numfmt --from=si 1K 2.5M; numfmt --to-unit=1000 --format=%.2f 12345; numfmt --grouping x; echo $?",
    "factor": "factor 1 2 97 1000000007 123456789012345 18446744073709551557 340282366920938463463374607431768211455",
    "base64": "base64 /usr/bin/true | md5sum; echo hello | base64 | base64 -d; echo aGVsbG8h | base64 -d; echo; base32 <<< x; basenc --base16 <<< xyz; echo '!!' | base64 -d; echo $?",
    "split": "seq 100 > n; split -l 30 n p; wc -l p*; split -b 100 -d n q; ls q*; cat q* | cmp - n && echo same; csplit -s n 20 /55/ '{0}'; wc -l xx*; split -n 3 n r; wc -c r*",
    "comm join paste": "printf '1 a\\n2 b\\n3 c\\n' > x; printf '2 B\\n3 C\\n4 D\\n' > y; join x y; join -a1 -o 0,1.2,2.2 -e - x y; paste x y; paste -sd+ x; comm <(cut -d' ' -f1 x) <(cut -d' ' -f1 y)",
    "shuf": "shuf -i 1-10 --random-source=/usr/bin/true; seq 9 | shuf -n 3 --random-source=/usr/bin/false; shuf -e a b c --random-source=/etc/services",
    "text tools": "seq 3 | nl -ba -w3; echo 'a b c d e f g' | fold -w 5 -s; fmt -w 20 <<< 'some words that are to be filled into short lines'; printf 'a\\tb\\n' | expand -t4; printf '        x\\n' | unexpand; seq 3 | tac; echo 'x y' | rev; seq 12 | pr -3 -t -l5; uniq -c <<< $'a\\na\\nb'; ptx <<< 'one two' ; tsort <<< 'a b b c'; column -t <<< $'a b\\nccc d'",
    "cat": "printf 'a\\tb\\1\\n\\n\\n\\377c' | cat -A; cat -ns /etc/fstab; cat /etc; echo $?; cat nothing; echo $?; cat - /etc/hostname <<< in",
    "cmp and diff": "seq 5 > a; seq 6 > b; cmp a b; diff a b; diff -u --label a --label b a b; diff -y -W 20 a b; cmp -l /usr/bin/true /usr/bin/false | wc -l; diff -rq /etc/apt /etc/apt; echo $?; sdiff -w 20 a b",
    "links": "echo x > f; ln f g; ln -s f s; ln -s /no n; stat -c '%h %F' f g s; readlink s n; readlink -e n; echo $?; realpath s .; ln f g; echo $?; cat n; echo $?; ln -sf g s; cat s; ln -s loop loop; cat loop; echo $?; unlink g; link f k; stat -c %h f",
    "test": "[ -e /etc -a -d /etc ]; echo $?; /usr/bin/test 1 -lt 2; echo $?; /usr/bin/test -L /bin; echo $?; /usr/bin/[ x = y ]; echo $?; test -c /dev/null; echo $?; [ /etc/passwd -nt /no ]; echo $?; [ -k /tmp ]; echo $?; /usr/bin/test a -eq 1; echo $?",
    "names": "basename /a/b.c .c; dirname /a/b/c d; pathchk -p 'a:b'; echo $?; realpath -m --relative-to=/usr/lib /usr/bin/x; pwd -P; basename; echo $?",
    "nice timeout nohup": "nice; nice -n 5 nice; timeout 0.1 sleep 5; echo $?; timeout -s KILL 0.1 sleep 5; echo $?; timeout 60 true; echo $?; timeout 60 sh -c 'exit 7'; echo $?; nohup echo hup; stdbuf -oL echo line; setsid -w echo session; sleep 0.01; sleep x; echo $?; chroot / /bin/echo rooted",
    "special files": "mkfifo p; ls -l p | cut -c1; (echo through > p &) ; cat p; mknod n c 1 3; echo gone > n; stat -c '%F %t %T' n; head -c 4 /dev/zero | od -An -tx1; echo x > /dev/full; echo $?; head -c 8 /dev/urandom | wc -c; cat /dev/null | wc -c; mkfifo p; echo $?",
    "dircolors and stty": "TERM=xterm dircolors -b | md5sum; stty < /dev/null; echo $?; tty; echo $?; stty -a < /dev/zero; echo $?; ls --color=always -d /etc /bin /etc/passwd; nproc --all > /dev/null; echo $?",
    "usage errors": "ls --nothing; echo $?; cp; echo $?; head -n x; echo $?; ls /no /etc/hostname; echo $?; kill -l 9; kill -l TERM; /usr/bin/kill -l | tr -s ' ' '\\n' | head -3; mkdir /no/such/x; echo $?; touch /no/x; echo $?; cat --version | head -1; ls --help | md5sum",
    "full pipes": "yes | head -c 300000 | md5sum; yes | head -1; echo ${PIPESTATUS[*]}; seq 100000 | (sleep 0.05; wc); yes abc | head -100000 | uniq -c",
    "sparse files": "truncate -s 3G big; stat -c %s big; printf x | dd of=big bs=1 seek=2999999999 conv=notrunc status=none; tail -c +3000000000 big | head -c 3 | od -c; cp --sparse=always big other 2>&1; stat -c %s other; rm big other",
}

TEXT = {
    "grep": "grep -n root /etc/passwd; grep -c : /etc/passwd; grep -E '^[a-d]+' -o /etc/passwd; grep -v nologin /etc/passwd; grep -P '\\d{4,}' /etc/passwd; grep -rl Debian /etc/apt /etc/os-release; grep -iw ROOT /etc/group; grep -q nothing /etc/passwd; echo $?; grep x /no; echo $?; grep -A1 -B1 -m1 bin /etc/passwd; grep --color=always ro.t /etc/passwd; grep -f <(echo sys) /etc/group; grep -z x /usr/bin/true; echo 'ÄÖ' | grep -o .; grep '[' /etc/passwd; echo $?",
    "sed": "sed -n '2,4p' /etc/passwd; sed 's/:.*//;3q' /etc/passwd; echo abc | sed -E 's/(.)(.)/\\2\\1/;y/c/C/'; seq 6 | sed -n '2~2{p;=}'; seq 5 | sed '2d;/3/i\\before' ; seq 3 | sed 'N;P;D'; seq 4 | sed -n 'H;${x;s/\\n/,/g;p}'; echo x > f; sed -i.bak s/x/y/ f; cat f f.bak; printf 'a b\\n' | sed 's/\\w/\\U&/g'; sed 's/x' f; echo $?; seq 3 | sed '$!{h;d};G'; sed --posix -n l <<< $'t\\tä'",
    "awk": "gawk -F: '$3 > 100 {print $1, $3 * 2}' /etc/passwd; gawk 'BEGIN{printf \"%.10f %d %s %e %x\\n\", atan2(1,1)*4, 3.9, \"s\", 1e10, 255}'; seq 1000 | gawk '{s+=$1*$1} END{print s, NR, sqrt(s)}'; gawk 'BEGIN{x[\"a\"]=1;x[\"b\"]=2;PROCINFO[\"sorted_in\"]=\"@ind_str_asc\";for(k in x)print k,x[k]; print length(\"äö\"), toupper(\"ß\"), substr(\"hello\",2,3), index(\"abc\",\"c\")}'; echo 'a b c' | gawk '{$2=\"X\"; print; print NF; gsub(/[a-c]/, \"<&>\"); print}'; gawk 'BEGIN{while((\"echo one; echo two\" | getline l) > 0) print \"got\", l; system(\"exit 3\"); print strftime(\"%F\", 0, 1); exit 4}'; echo $?; gawk 'BEGIN{printf \"%.17g %.3g\\n\", 0.1, 1e300*1e10; print 2^53+1, 1e6, 1e17, -0, log(10), exp(1), sin(1), int(-3.7)}'; gawk 'BEGIN{srand(1);print rand()}'; gawk 'BEGIN {'; echo $?",
    "awk words": "gawk '{for(i=1;i<=NF;i++)n[tolower($i)]++} END{for(w in n)print n[w], w}' /usr/share/common-licenses/GPL-3 | sort -k1,1nr -k2 | head -12",
    "regular expressions": "for r in '^$' '[[:upper:]]{3,}' '(a|b)*c' '\\bthe\\b'; do grep -cE \"$r\" /usr/share/common-licenses/GPL-3; done; grep -P '(?<=free )\\w+' -o /usr/share/common-licenses/GPL-3 | sort | uniq -c",
    "less and more": "seq 5 | less; less /etc/hostname; more /etc/hostname; seq 3 | more; less /no; echo $?; LESSOPEN= less -FX /etc/hostname; less --version | head -1",
    "file": "file /usr/bin/bash /etc/passwd /bin /usr/share /dev/null; file -b --mime-type /usr/bin/python3 /etc/os-release; printf '\\x89PNG\\r\\n\\x1a\\n' > i; file i; gzip -n < i > i.gz; file i.gz; file nothing",
    "nano and vim": "nano --version | head -1; vim.tiny --version | head -2; printf 'one\\ntwo\\nthree\\n' > f; vim.tiny -n -es -c '2d' -c '%s/o/0/g' -c 'normal Goend' -c wq f; echo $?; cat f; vim.tiny -n -es -c 'q' nothing; echo $?",
    "editing with ed-like scripts": "seq 200 > f; vim.tiny -n -es -c 'g/5/d' -c '%s/$/!/' -c 'sort! n' -c wq f; md5sum f; wc -l f; tail -2 f",
    "curl": "curl --version | cut -d' ' -f1-2; curl -s file:///etc/hostname; curl -s nonsense://x; echo $?; curl -s http://127.0.0.1:1/; echo $?",
}

PERL = {
    "perl basics": r"""perl -e 'print join(",", map { $_*$_ } grep { $_ % 2 } 1..9), "\n"; my %h=(a=>1,b=>2); print "$_=$h{$_}\n" for sort keys %h; printf "%s %.3f %5s|%-5s| %05d %e %g\n", "x", 3.14159, "r", "l", 42, 12345.678, 1e-5; print 10/3, " ", 2**0.5, " ", 1e21, " ", 0.1+0.2, " ", 9**20, "\n"'""",
    "perl regular expressions": r"""perl -ne 'print "$1-$2\n" if /^(\w+):.*:(\d+):/' /etc/passwd; perl -pe 's/(\w+)/\u$1/g' /etc/hostname; perl -e '$_="aXbXc"; print join("|", split /X/), "\n"; print "yes\n" if "foobar" =~ /(?<w>o+)b/; print $+{w}, "\n"; (my $t = "hello") =~ tr/a-y/b-z/; print "$t\n"; print scalar reverse("abc"), lc("ÄB"), "\n"'""",
    "perl modules": r"""perl -MDigest::MD5=md5_hex -MList::Util=sum,max,shuffle -MPOSIX=floor,strftime -MData::Dumper -e '$Data::Dumper::Sortkeys=1; print md5_hex("x"), " ", sum(1..10), " ", max(3,9,2), " ", floor(-2.5), " ", strftime("%F %T", gmtime(86400)), "\n"; print Dumper({a=>[1,2,{b=>undef}]})'""",
    "perl processes": r"""perl -e '$|=1; my $p=fork; if(!$p){ print "child\n"; exit 3 } waitpid($p,0); print $?>>8, "\n"; open(my $f,"-|","echo piped") or die; print <$f>; close $f; $SIG{ALRM}=sub{die "alarm\n"}; eval{alarm 1; select(undef,undef,undef,0.01); alarm 0}; print `echo back`; system("exit 5"); print $?>>8,"\n"; kill 0,$$ and print "alive\n"; local $SIG{USR1}=sub{print "usr1\n"}; kill USR1=>$$; die "dying\n"'; echo $?""",
    "perl files": r"""perl -e 'open(F,">","f"); print F "line $_\n" for 1..5; close F; open(F,"<","f"); my @l=<F>; print scalar(@l), $l[-1]; seek(F,5,0); read(F,my $b,1); print "$b\n"; print -s "f", " ", (-d "/etc"?1:0), "\n"; rename "f","g"; unlink "g" or die; opendir(D,"/etc/apt"); print join(" ", sort grep !/^\./, readdir D), "\n"; print pack("nNvV",1,2,3,4) eq "\0\1\0\0\0\2\3\0\4\0\0\0" ? "ok\n":"no\n"; print unpack("H*", pack("d>",1.5)), "\n"'""",
}

PYTHON = {
    "json and re": r"""
import json, re
d = {"b": [1, 2.5, None, True, "ü\n"], "a": {"x": 1e100}}
print(json.dumps(d, sort_keys=True), json.loads(json.dumps(d)) == d)
print(re.sub(r"(\w+) (\w+)", r"\2 \1", "hello world"), re.findall(r"(?i)[a-f]+\d*", "Abc12 xyz DEF9"))
print(len(json.dumps([{"i": i, "s": str(i) * 3} for i in range(3000)])))""",
    "hashlib and zlib": r"""
import hashlib, zlib, binascii, bz2, lzma, base64, hmac
data = bytes(range(256)) * 400
for name in sorted(hashlib.algorithms_guaranteed):
    h = hashlib.new(name, data)
    print(name, h.hexdigest(16) if name.startswith("shake") else h.hexdigest())
print(zlib.crc32(data), zlib.adler32(data), len(zlib.compress(data, 9)), zlib.decompress(zlib.compress(data)) == data)
print(bz2.decompress(bz2.compress(data)) == data, lzma.decompress(lzma.compress(data)) == data, hmac.digest(b"k", data, "sha256").hex())""",
    "subprocess": r"""
import subprocess, sys, os, signal
print(subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"in", capture_output=True))
print(subprocess.check_output("echo $((6*7))", shell=True))
try: subprocess.run(["/no/such"])
except FileNotFoundError as e: print(e)
try: subprocess.run(["sleep", "9"], timeout=0.05)
except subprocess.TimeoutExpired as e: print(e)
p = subprocess.Popen(["sleep", "9"]); p.send_signal(signal.SIGTERM); print(p.wait())
p = subprocess.Popen(["tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True); print(p.communicate("x" * 70000)[0] == "X" * 70000)
print(os.system("exit 4") >> 8, os.popen("echo popen").read())""",
    "fork and pipes": r"""
import os, signal, time, select
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, b"from child"); os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]), os.read(r, 100))
print(select.select([r], [w], [], 0)[1] == [w])
alarms = []; signal.signal(signal.SIGALRM, lambda *a: alarms.append(a)); signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)   # again and again: the first may come too early
signal.pause(); signal.setitimer(signal.ITIMER_REAL, 0); print("alarm", len(alarms) > 0)
try: os.kill(999999, 0)
except ProcessLookupError as e: print(e)
os.close(r)
try: os.write(w, b"x")
except BrokenPipeError as e: print(e)
a, b = os.openpty(); os.write(a, b"typed\n"); print(os.read(b, 10), os.read(a, 10), os.ttyname(b)[:8], os.isatty(b))""",
    "threads": r"""
import threading, queue, concurrent.futures as cf
q, total, lock = queue.Queue(), [0], threading.Lock()
def work():
    while (n := q.get()) is not None:
        with lock: total[0] += n
ts = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in ts]; [q.put(i) for i in range(500)]; [q.put(None) for _ in ts]; [t.join() for t in ts]
print(total)
with cf.ThreadPoolExecutor(3) as ex: print(list(ex.map(lambda x: x * x, range(10))))
e = threading.Event(); threading.Timer(0.01, e.set).start(); print(e.wait(5), threading.Barrier(1).wait())""",
    "processes that share": r"""
import multiprocessing as mp, mmap, os
m = mmap.mmap(-1, 4096)
if os.fork() == 0:
    m[:5] = b"child"; os._exit(0)
os.wait(); print(m[:5])
ctx = mp.get_context("fork")
q = ctx.Queue(); p = ctx.Process(target=lambda: q.put([1, "two"])); p.start(); print(q.get(), p.join(), p.exitcode)
with ctx.Pool(2) as pool: print(pool.map(abs, range(-4, 0)))""",
    "numbers": r"""
import struct, math, decimal, fractions, random, statistics, cmath
print(struct.pack("<bHiqfd3s", -1, 65535, -2**31, 2**62, 1.5, -0.1, b"abc").hex(), struct.unpack(">d", bytes.fromhex("3ff8000000000000")))
for x in (0.1, 1/3, 1e22, 1e23, 5e-324, 1.7976931348623157e308, -0.0, float("inf"), float("nan"), 123456789.123456789, 2**0.5): print(repr(x), f"{x:.3f} {x:.10e} {x:g}", x.hex())
decimal.getcontext().prec = 50; print(decimal.Decimal(2).sqrt(), decimal.Decimal("0.1") + 1, fractions.Fraction(355, 113) - 3)
random.seed(42); print(random.random(), random.randrange(10**20), random.gauss(0, 1), random.sample(range(100), 5))
print(2**200, pow(3, 10**6, 10**9 + 7), math.factorial(30), math.gcd(2**40, 6**20), -7 // 2, -7 % 3, divmod(-7.5, 2), round(2.5), int("z" * 12, 36))
for f in (math.sin, math.cos, math.tan, math.exp, math.log, math.sqrt, math.atan, math.sinh, math.erf, math.gamma, math.lgamma, math.cbrt, math.log2, math.log1p, math.expm1): print(f.__name__, repr(f(0.7)), repr(f(123.456)) if f is not math.gamma else "")
print(math.fsum([.1] * 10), sum([.1] * 10), math.hypot(3, 4), math.fmod(-7, 3), math.remainder(7, 4), math.ldexp(0.5, 10), math.frexp(10.0), math.nextafter(1, 2), cmath.sqrt(-1), statistics.stdev([1, 2, 4]))""",
    "files": r"""
import os, tempfile, shutil, pathlib, stat, glob
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d, "a/b"); p.mkdir(parents=True); (p / "f").write_text("text ü"); os.symlink("f", p / "s"); os.link(p / "f", p / "h")
    print(sorted(os.path.relpath(x, d) for x in glob.glob(d + "/**", recursive=True)), os.stat(p / "f").st_nlink, stat.filemode(os.lstat(p / "s").st_mode))
    shutil.copytree(p, d + "/c", symlinks=True); print(sorted(os.listdir(d + "/c")), sorted(sorted(f) for _, _, f in os.walk(d)))
    os.utime(p / "f", ns=(1, 1234567890123456789)); print(os.stat(p / "f").st_mtime_ns); os.chmod(p / "f", 0o640); print(oct((p / "f").stat().st_mode))
    with open(p / "big", "wb") as f: f.seek(10**6); f.write(b"end"); f.truncate(10**6 + 1)
    print(os.path.getsize(p / "big")); fd = os.open(p, os.O_RDONLY); print(os.stat("f", dir_fd=fd).st_size); os.rename("f", "g", src_dir_fd=fd, dst_dir_fd=fd)
    for bad in (lambda: os.rmdir(p), lambda: os.mkdir(p), lambda: open(p), lambda: os.listdir(p / "g"), lambda: os.unlink(p), lambda: os.readlink(p / "g")):
        try: bad()
        except OSError as e: print(e.errno, e.strerror)
print(os.path.exists(d), tempfile.TemporaryFile().write(b"x"))""",
    "sqlite3": r"""
import sqlite3
c = sqlite3.connect("t.db"); c.execute("create table t(a integer primary key, b text, c real)")
with c: c.executemany("insert into t(b, c) values(?, ?)", [(f"row{i}", i / 7) for i in range(500)])
print(c.execute("select count(*), sum(c), max(b), group_concat(a, '') from (select * from t order by a limit 20)").fetchone())
try:
    with c: c.execute("insert into t values(1, 'dup', 0)")
except sqlite3.IntegrityError as e: print(e)
c.close(); c = sqlite3.connect("t.db"); print(c.execute("select b, round(c, 5) from t where b like 'row1%' order by c desc limit 3").fetchall(), c.execute("pragma integrity_check").fetchone())""",
    "texts and dates": r"""
import datetime as dt, locale, unicodedata, textwrap, difflib, string, time, calendar, collections, itertools, functools, zoneinfo
print(dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc).isoformat(), dt.date(2025, 1, 1) - dt.date(2024, 1, 1), dt.datetime.fromtimestamp(0, dt.timezone.utc), zoneinfo.ZoneInfo("UTC"))
print(unicodedata.name("ß"), "straße".upper(), "ÀÉ".casefold(), sorted("äbc"), "日本".encode("utf-16-le"), "x".center(9, "*"), unicodedata.normalize("NFD", "é").encode())
print(textwrap.fill("the quick brown fox " * 3, 20)); print("".join(difflib.unified_diff(["a\n", "b\n"], ["a\n", "c\n"])))
print(time.strftime("%a %d %b %Y", time.gmtime(1e9)), calendar.month(2024, 2), collections.Counter("mississippi").most_common(2), list(itertools.permutations("abc", 2))[:4], functools.reduce(int.__mul__, range(1, 20)))""",
    "sockets": r"""
import socket, selectors, os, threading
a, b = socket.socketpair(); a.sendall(b"hello"); print(b.recv(10)); a.close(); print(b.recv(10))
s = socket.socket(socket.AF_UNIX); s.bind("sock"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect("sock"); n, _ = s.accept(); n.send(b"x" * 1000); print(len(c.recv(4096)))
sel = selectors.DefaultSelector(); sel.register(c, selectors.EVENT_READ, "c"); print(sel.select(0)); n.send(b"y"); print([k.data for k, _ in sel.select(1)]); n.close()
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec("echo", "async", stdout=-1); print(await p.communicate())
    print(await asyncio.gather(*(asyncio.sleep(0.001, i) for i in range(3))))
    try: await asyncio.wait_for(asyncio.sleep(9), 0.01)
    except TimeoutError: print("timeout")
asyncio.run(main())""",
    "errors": r"""
import sys, traceback
def deep(n): return deep(n + 1)
try: deep(0)
except RecursionError as e: print(e)
try: [][1]
except IndexError: traceback.print_exc()
try: b"\xff".decode()
except UnicodeDecodeError as e: print(e)
try: 1 // 0
except ZeroDivisionError as e: print(repr(e))
sys.stderr.write("to stderr\n"); 1 / 0""",
    "big and deep": r"""
import zlib, array, bisect, heapq, pickle, copy, marshal
n = 200; s = bytearray([1]) * (n * n)
for i in range(2, n * n):
    if s[i] and i * i < n * n: s[i*i::i] = bytes(len(range(i*i, n * n, i)))
print(sum(s) - 2)
h = []; [heapq.heappush(h, (x * 7919) % 10007) for x in range(3000)]; print([heapq.heappop(h) for _ in range(5)])
d = {str(i): [i] for i in range(20000)}; print(len(pickle.dumps(d)), copy.deepcopy(d) == d, zlib.crc32(marshal.dumps(sorted(d))))
print(sum(array.array("d", range(1000))), sorted((hash((i, i * 2.5)) for i in range(50)))[:3], len({*range(10**5)}), "%x" % (3**400))""",
}

ARCHIVES = {
    "tar": "mkdir -p d/e; seq 1000 > d/f; echo x > d/e/g; ln -s f d/l; ln d/f d/h; touch -hd @1000000 d/* d/e/* d/e d; chmod 750 d/e; tar -cf t.tar --sort=name d; md5sum t.tar; tar -tvf t.tar --utc; mkdir out; tar -xpf t.tar -C out; ls -lR --time-style=+%s out | grep -v total; diff -r d out/d && echo same; tar -xOf t.tar d/e/g; tar -xf nothing; echo $?; tar -df t.tar; echo $?",
    "gzip": "seq 20000 > f; gzip -nk f; ls -s --block-size=1 f.gz | cut -d' ' -f2; md5sum f.gz; gzip -l f.gz; zcat f.gz | cmp - f && echo same; gzip -t f.gz; echo $?; gunzip -f f.gz; wc f; echo junk | gunzip; echo $?; gzip -9nc f | md5sum; zgrep -c 77 <(gzip -c f)",
    "bzip2": "seq 20000 > f; bzip2 -k f; md5sum f.bz2; bzcat f.bz2 | cmp - f && echo same; bzip2 -tv f.bz2; echo junk | bunzip2; echo $?",
    "xz": "seq 20000 > f; xz -k f; md5sum f.xz; xzcat f.xz | cmp - f && echo same; xz -l f.xz; xz -T1 -9e -c f | md5sum; xz --format=lzma -c f | xz -dc | md5sum; echo junk | xz -d; echo $?; xz --check=sha256 -c /etc/passwd | xz -dc | cmp - /etc/passwd && echo same",
    "tar with compression": "cp -r /etc/apt d; for z in z j J; do tar -c${z}f t d; tar -t${z}f t | wc -l; mkdir x$z; tar -xf t -C x$z; diff -r d x$z/d && echo same; done",
}

GIT_SETTINGS = "export GIT_AUTHOR_DATE='@1700000000 +0000' GIT_COMMITTER_DATE='@1700000000 +0000' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD; git config --global user.name A; git config --global user.email a@b; git config --global init.defaultBranch main; "
GIT = {name: GIT_SETTINGS + script for name, script in {
    "git commits": "git init -q r; cd r; echo 1 > a; git add a; git commit -qm first; echo 2 >> a; git diff; git commit -qam second; git log --stat; git status; git show HEAD~1:a; git rev-parse HEAD; git cat-file -p HEAD; git ls-files -s; git fsck; git blame -s a",
    "git branches": "git init -q r; cd r; seq 9 > a; git add a; git commit -qm base; git checkout -qb side; sed -i 1d a; git commit -qam side; git checkout -q main; echo 10 >> a; git commit -qam main; git merge -q -m merged side; cat a; git log --oneline --graph; git branch -a; git tag v1; git describe; git stash list; git checkout nothing; echo $?; sed -i s/5/five/ a; git stash -q; git stash pop -q; git diff --stat; git reset -q --hard; git rebase -q HEAD~1; git merge-base main side",
    "git clones": "git init -q r; cd r; for i in 1 2 3; do seq $i > f$i; git add .; git commit -qm c$i; done; cd ..; git clone -q r c; cd c; git log --format='%h %s %an %ad'; git remote -v | sed 's/ .*//'; echo x > n; git add n; git commit -qm new; git push -q origin HEAD:new; git -C ../r branch; git gc -q; git count-objects -v | grep -v size; git fetch -q; git archive HEAD | tar t; cd ..; git clone -q --bare file://$PWD/r b; git -C b log --oneline | wc -l",
    "git refuses": "git log; echo $?; git init -q; git log; echo $?; git commit -m x; echo $?; git nothing; echo $?; git --version",
}.items()}

PROC = {
    "ps shape": "ps -o pid=,comm= -p $$ | sed 's/^ *[0-9]* /PID /'; ps --no-headers -o stat,comm > list; cut -c1,6- list; ps -h -p 999999; echo $?; sleep 50 & until grep -q sleep /proc/$!/comm; do :; done; ps -o args= -p $!; kill $!; wait $!; echo $?; pgrep -c nothing; ps -o ppid= -p $$ > /dev/null; echo $?",
    "proc files": "cat /proc/self/comm; tr '\\0' ' ' < /proc/self/cmdline; echo; readlink /proc/self/exe; wc -l < /proc/self/status > /dev/null; echo $?; cut -d' ' -f2-3 /proc/self/stat; ls /proc/self/fd | wc -l; readlink /proc/self/cwd; grep -c . /proc/meminfo > /dev/null; echo $?; cat /proc/nothing; echo $?; (cat /proc/self/environ | tr '\\0' '\\n' | grep ^HOME); grep -E '^(Name|Uid|Gid|SigQ|Threads)' /proc/self/status | grep -v SigQ; test -r /proc/self/maps; echo $?; awk 'NR==1{print substr($0,1,0)}' /proc/uptime; echo 5 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj",
    "loader": "ldd /usr/bin/true | sed 's/ (0x.*//' | grep -v vdso; /lib64/ld-linux-x86-64.so.2 --list /usr/bin/true | grep -vc vdso; LD_DEBUG=help true | head -2; LD_PRELOAD=/no.so true; echo $?; getconf PAGESIZE; getconf ARG_MAX; ldconfig -p | wc -l",
    "getent and locale": "getent passwd root; getent group 0; getent hosts localhost | tr -s ' '; getent passwd nothing; echo $?; locale; locale -a",
}

PYTHON_CASES = {f"python {name}": f"cat > program.py <<'END'{text}\nEND\npython3 program.py; echo $?" for name, text in PYTHON.items()}
CASES = SEEN_AT_THE_END | COREUTILS | TEXT | PERL | PYTHON_CASES | ARCHIVES | GIT | PROC


def steady(text: bytes) -> bytes:
    """Without process numbers, which depend on what ran before."""
    return re.sub(rb"(line \d+:) +\d+ |kill: \(\d+\) - ", rb"\1 PID ", text)


@pytest.mark.parametrize("name", CASES)
def test_says_what_it_says_on_this_hosts_linux(guest, host, name):
    ours, theirs = guest.script(name, CASES[name]), host.script(name, CASES[name])
    for stream, (here, there) in enumerate(zip(ours[1:], theirs[1:], strict=True), 1):
        assert steady(here).decode(errors="backslashreplace").splitlines() == steady(there).decode(errors="backslashreplace").splitlines(), f"descriptor {stream}"
        assert steady(here) == steady(there)
    assert ours[0] == theirs[0]


def test_big_input_passes_through_unchanged(guest):
    data = bytes(i * i >> 3 & 255 for i in range(1 << 20))
    assert guest.run(["sh", "-c", "tee /dev/stderr"], stdin=data) == (0, data, data)


def test_top_shows_itself_and_the_machine(guest):
    status, out, err = guest.run(["top", "-b", "-n", "1", "-w", "100"])
    lines = out.decode().splitlines()
    assert (status, err) == (0, b"")
    assert re.match(r"top - \d\d:\d\d:\d\d up ", lines[0])
    assert re.match(r"Tasks: +\d+ total, +1 running", lines[1]) and lines[2].startswith("%Cpu(s):") and "MiB Mem" in lines[3]
    assert any(re.match(r" *\d+ root .* R .* top$", line) for line in lines[7:]), lines


def test_ps_counts_every_process(guest):
    script = in_own_folder("ps counts", "for i in 1 2; do sleep 50 & until grep -q sleep /proc/$!/comm; do :; done; done; ps ax -o comm= | grep -c sleep; kill %1 %2; wait; ps ax -o comm= | grep -c sleep")
    assert guest.run(["bash", "-c", script])[1] == b"2\n0\n"


def test_df_shows_what_is_mounted(guest):
    status, out, _ = guest.run(["df", "--output=target,fstype", "/", "/tmp", "/dev"])
    assert (status, out.split()) == (0, b"Mounted on Type / ext4 /tmp tmpfs /dev devtmpfs".split())
