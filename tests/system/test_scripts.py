"""Shell scripts do here what they do on this host's Linux: dash and bash, the language and what it asks of the kernel.

Portable scripts run in both shells, the others in bash. They run as root in an empty directory below /tmp.
"""

import pytest

from tests.system.test_commands import steady

PORTABLE = {
    "quoting": r"""a='single "double" $x'; b="double 'single' \$x \\ \" `echo old`"; echo "$a" "$b" back\ slash 'it'"'"'s' "" end; echo a\
b; set -- 'a b' c; printf '<%s>' "$@"; printf '<%s>' "$*"; printf '<%s>' $*; echo; IFS=:; echo "$*"; x=a:b:c; printf '<%s>' $x""",
    "expansions": r"""x=path/to/file.tar.gz; echo ${x##*/} ${x#*/} ${x%.*} ${x%%.*} ${#x} ${y-unset} ${y:-empty} ${y:=set} $y ${y:+alt} ${z+no}; e=; echo "${e-a}" "${e:-b}"; echo ${z?message}; echo not reached""",
    "expansion fails in a subshell": r"""(echo ${nothing:?is needed}; echo no); echo $?; (set -u; echo $nothing; echo no); echo $?; (readonly r=1; r=2; echo no); echo $?""",
    "arithmetic": r"""i=7; echo $((i + 3 * 2)) $((i % 4)) $((-i / 2)) $((1 << 40)) $((0x1f | 010)) $((i > 5 ? 1 : 2)) $((i && 0)) $((!i)) $((~i)) $((9223372036854775807 + 1)) $(( (2 + 3) * 4 )); i=$((i + 1)); echo $i; : $((i += 5)); echo $i $((i == 13)); echo $((1 / 0)); echo $?""",
    "loops": r"""for i in a b c; do [ $i = b ] && continue; echo $i; done; n=0; while [ $n -lt 10 ]; do n=$((n + 1)); [ $n -eq 4 ] && break; done; echo $n; until [ $n -eq 0 ]; do n=$((n - 1)); done; echo $n; for i in 1 2; do for j in x y; do [ $j = y ] && continue 2; echo $i$j; done; done; set -- p q; for a; do echo $a; done; for i in; do echo never; done; echo $?; while :; do while :; do break 2; done; done; echo out""",
    "case": r"""for w in apple banana cherry 42 '*' 'a b' ''; do case $w in a*e) echo ae;; [bc]*) echo b or c;; [0-9]*|x) echo number;; \*) echo star;; 'a b') echo spaced;; '') echo empty;; esac; done; case x in y) ;; esac; echo $?""",
    "functions": r"""f() { echo "$# $1"; shift; [ $# -gt 0 ] && f "$@"; return 3; }; f a b c; echo $?; g() { local v=in; v2=out; echo $v; }; v=before; g; echo $v $v2; h() { (exit 9); }; h; echo $?; k() { set -- x y; echo $1; }; set -- o; k; echo $1; unset -f k; k; echo $?; r() { return; }; false; r; echo $?""",
    "positional parameters": r"""set -- a b 'c d' e f g h i j k; echo $# $9 ${10} $10; shift 3; echo $1 $#; set --; echo $#; set -- -x; echo $1; shift 5; echo $?""",
    "here-documents": r"""x=value; cat <<EOF
plain $x $(echo sub) \$x `echo tick` $((1+1))
EOF
cat <<'EOF'
quoted $x $(echo sub)
EOF
cat <<-EOF
	tabs are gone
		all
	EOF
cat <<A; cat <<B
first
A
second
B
cat <<EOF | tr a-z A-Z
piped
EOF
while read l; do echo "[$l]"; done <<EOF
one
  two  
EOF
seq 30000 > big; cat <<EOF | wc -c
$(cat big)
EOF""",
    "redirections": r"""echo out > f; echo more >> f; cat < f; ls /no 2> e; cat e; { echo o; echo e >&2; } > both 2>&1; cat both; exec 3> three; echo to3 >&3; exec 3>&-; cat three; echo x >&3; echo $?; exec 4< f; read l <&4; read m <&4; echo $l $m; exec 4<&-; : > f; wc -c < f; set -C; echo y > f; echo $?; echo y >| f; cat f; echo z <> f; cat f; cat < /no; echo $?; { echo swap1; echo swap2 >&2; } 3>&1 1>&2 2>&3 | sed 's/^/p:/'""",
    "many descriptors": r"""for i in 3 4 5 6 7 8 9; do eval "exec $i> f$i"; done; for i in 3 4 5 6 7 8 9; do eval "echo $i >&$i"; done; cat f?; exec 3>&- 5>&-; ls /proc/self/fd | wc -l; (echo sub >&4); cat f4; exec 9>&4; echo dup >&9; cat f4""",
    "pipelines": r"""echo abc | cat | tr b x; true | false; echo $?; false | true; echo $?; ! true; echo $?; ! false | false; echo $?; echo x | { read a; echo got $a; }; seq 10 | while read n; do [ $n -eq 3 ] && break; echo $n; done; seq 3 | (read a; cat); yes | head -n 2; (exit 4) | cat; echo $?; v=outer; echo inner | read v; echo $v""",
    "lists": r"""true && echo yes || echo no; false && echo yes || echo no; false || false || echo last; { false; true; } && echo group; (exit 3) || echo $?; true; false; echo $?; if false; then echo a; elif true; then echo b; else echo c; fi; if false; then :; fi; echo $?""",
    "subshells": r"""x=1; (x=2; cd /; echo $x $PWD); echo $x; (exit 7); echo $?; y=$(x=3; echo $x; exit 5); echo $? $y $x; echo $(echo nested $(echo deep $(echo deeper))); echo "$(printf 'trailing\n\n\n')|"; z=$(cat <<EOF
here
EOF
); echo $z; (trap 'echo sub' EXIT); (set -e; false; echo no); echo $?; echo `echo \`echo back\``; [ "$( (echo a; exit 1) )" = a ]; echo $?""",
    "globs": r"""touch a.c b.c c.h .hidden 'sp ace' '[x]'; mkdir d; touch d/e; echo *; echo *.c; echo [ab].*; echo [!a]*.c; echo ?.h; echo .h*; echo */*; echo nothing*; echo "*.c"; echo \*.c; v='*.c'; echo $v "$v"; set -f; echo *.c; set +f; echo [[]x]; for f in s*; do echo "<$f>"; done; case a.c in *.c) echo matches;; esac; echo d/*; echo /etc/host[n]ame""",
    "word splitting": r"""x='  a  b	c '; set -- $x; echo $#; IFS=,; y='1,,2,'; set -- $y; echo $#; for w in $y; do printf '<%s>' "$w"; done; echo; IFS=' ,'; z=' p , q,r '; set -- $z; echo $# $3; unset IFS; set -- $x; echo $#; IFS=; set -- $x; echo $#; IFS=x; echo $(echo axbxc) "$(echo axb)"; """,
    "read": r"""printf 'a b c\nd\\\ne f\n  sp  \nlast' > f; { read x y; echo "$x|$y"; read z; echo "$z"; read -r w; echo "<$w>"; read l; echo "$? <$l>"; read l; echo $?; } < f; printf 'a:b:c' | { IFS=: read p q; echo "$p|$q"; }; printf 'back\\slash\n' | { read -r b; echo "$b"; }; echo x | { read a; read b; echo "$? $a"; }; printf '1\n2\n3\n' | { read a; head -1; }""",
    "test operators": r"""t() { [ "$@" ]; echo "$? $*"; }; touch f; mkdir d; ln -s f l; chmod 600 f; t -e f; t -f d; t -d d; t -L l; t -s f; t -r f; t -x f; t -n ''; t -z ''; t a = a; t a != a; t 3 -gt 2; t 2 -ge 3; t 1 -eq 01; t ! -e no; t -e f -a -d d; t -e no -o -d d; t x; t ''; t -t 0; t \( a = a \); t f -ef l; t -p /dev/stdin; t -c /dev/null; [ a; echo $?; [ 1 -eq x ]; echo $?""",
    "getopts": r"""o() { OPTIND=1; while getopts ab:c n "$@"; do echo "$n $OPTARG $OPTIND"; done; shift $((OPTIND - 1)); echo "rest $*"; }; o -a -b val -c x y; o -abval z; o -x; o -b; o -- -a; s() { OPTIND=1; while getopts :q: n "$@"; do echo "$n $OPTARG"; done; }; s -z -q""",
    "printf": r"""printf '%s-%d-%x-%o-%c-%5s|%-5s|%05d|%.2f\n' str 42 255 8 char r l 7 3.14159; printf '%s %s\n' a b c d; printf 'no newline'; printf '\n\t\\\101\n'; printf '%b\n' 'a\tb\0101'; printf '%d\n' 0x10 010 "'A"; printf '%d\n' 12abc; echo $?; printf '%%\n'; printf '%s\n'; printf '%.3s|%*d\n' abcdef 6 42""",
    "echo and variables": r"""echo -n no newline; echo; A=1 B=2 env | grep -E '^[AB]='; C=3; env | grep ^C=; export C; env | grep ^C=; unset C; echo "<$C>"; D=4 true; echo "<$D>"; readonly E=5; readonly -p | grep 'E='; set | grep '^HOME'; X=$HOME/~; echo $X ~ ~root; Y=~/x; echo $Y; P=a:~; echo "$P" """,
    "eval and dot": r"""x='echo evaluated $((1+1))'; eval $x; eval 'y=3; z="$y$y"'; echo $z; echo 'echo sourced $1; v=from; return 6; echo no' > lib; . ./lib arg; echo $? $v; eval; echo $?; eval 'exit 3' | cat; (eval 'syntax ( error'); echo $?; command -v ls cd if nothing; type cd | head -1; (. ./nothing; echo no); echo $?""",
    "set -e": r"""(set -e; echo a; false; echo b); echo $?; (set -e; false || true; if false; then :; fi; ! true; false && true; echo c); echo $?; (set -e; f() { false; echo in; }; f || echo or; f; echo d); echo $?; (set -e; x=$(false); echo e); echo $?; (set -e; (false); echo f); echo $?; (set -e; true | false; echo g); echo $?; (set -e; trap 'echo bye $?' EXIT; false); echo $?""",
    "set -x and -v": r"""exec 2>&1; set -x; echo a 'b c'; x=1; [ $x = 1 ] && :; for i in 1 2; do :; done; set +x; set -v
echo v
set +v; PS4='> '; set -x; (echo sub)""",
    "exit statuses": r"""(exit 0); echo $?; (exit 255); echo $?; (exit 256); echo $?; nothing; echo $?; /etc/passwd; echo $?; /etc; echo $?; ./no; echo $?; sh -c 'kill -9 $$'; echo $?; sh -c 'kill -TERM $$'; echo $?; sh -c 'exit 77'; echo $?; sh /no/script; echo $?; sh -c 'if'; echo $?; true; (exit); echo $?""",
    "trap and signals": r"""trap 'echo usr1' USR1; kill -USR1 $$; echo after; trap 'echo hup; exit 3' HUP; (kill -HUP $$; sleep 0.1); sleep 1; echo not reached""",
    "trap EXIT": r"""trap 'echo bye $?' EXIT; f() { trap 'echo from f' EXIT; }; (exit 4); (trap - EXIT; exit 1); echo here; sh -c 'trap "echo inner" EXIT; exit 2'; echo $?; sh -c 'trap "echo first; exit 9" EXIT; false'; echo $?; exit 5""",
    "traps ignored and inherited": r"""trap '' USR1; kill -USR1 $$; echo alive; sh -c 'kill -USR1 $$; echo child alive'; trap - USR1; sh -c 'kill -USR1 $$; echo no'; echo $?; trap 'echo int' INT; kill -INT $$; echo on; trap; trap - INT; (trap '' TERM; sh -c 'kill -TERM $$; echo kept'); sh -c 'kill -INT $$; echo no'; echo $?""",
    "trap while waiting": r"""trap 'echo caught' USR1; mkfifo go; (until grep -q 'State:.S' /proc/$$/status; do :; done; kill -USR1 $$; echo > go) & cat go; echo slept; wait; (until grep -q 'State:.S' /proc/$$/status; do :; done; kill -USR1 $$) & sleep 50 & wait $!; echo $?; kill $!; wait; echo done""",
    "background": r"""sleep 0.05 & p=$!; wait $p; echo $?; (exit 6) & wait $!; echo $?; false & true & wait; echo $?; wait 99999; echo $?; mkfifo go; (read x < go; echo late) & echo early; echo > go; wait; sleep 50 & kill $!; wait $!; echo $?; { echo a; sleep 0.05; echo b; } & wait; echo c; x=$(sleep 0.05 & echo sub); echo $x; kill -0 $p; echo $?""",
    "kill": r"""state() { while s=$(grep -o 'State.*' /proc/$!/status); do case $s in State:?$1*) break;; esac; done; echo "$s"; }; sleep 50 & state S; kill -STOP $!; state T; kill -CONT $!; state S; { kill -KILL $!; wait $!; } 2> /dev/null; echo $?; for s in HUP INT QUIT PIPE ALRM TERM USR2 SEGV; do sh -c "kill -$s \$\$"; echo $s $?; done 2>/dev/null; kill -l 15; kill 999999; echo $?; kill -NONE $$; echo $?""",
    "pipes and SIGPIPE": r"""(yes; echo $? >&2) | head -1; (trap '' PIPE; yes 2>/dev/null; echo $? >&2) | head -1; mkfifo f; (echo one; echo two) > f & cat f; wait; exec 3<> f; echo data >&3; read l <&3; echo $l; (sleep 0.05; echo late) | (read x; echo $x); : | cat; echo | wc -c""",
    "umask and ulimit": r"""umask; umask 027; umask; touch f; mkdir d; stat -c %a f d; umask -S; umask u=rwx,g=,o=; umask; ulimit -n; (ulimit -n 20; ulimit -n); (ulimit -S -f 1; dd if=/dev/zero of=big bs=1024 count=3 2> /dev/null; echo $?; stat -c %s big); ulimit -c 0; ulimit -c; (ulimit -t 5; ulimit -t); ulimit -s""",
    "directories": r"""mkdir -p a/b; cd a/b; pwd; cd ..; pwd; cd -; cd; pwd; cd /no; echo $?; cd /tmp; ln -sfn /usr/bin lnk; cd lnk; pwd; pwd -P; cd ..; pwd; cd -P /tmp/lnk; pwd; rm /tmp/lnk; mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; touch x; echo $?; ls; CDPATH=/usr; cd bin; pwd""",
    "executing scripts": r"""printf '#!/bin/sh\necho "$0 $# $1"\n' > s; chmod +x s; ./s 'a b' c; printf '#!/usr/bin/env python3\nprint("py")\n' > p; chmod +x p; ./p; printf 'echo no shebang $1\n' > n; chmod +x n; ./n x; chmod -x s; ./s; echo $?; sh s x; PATH=.:$PATH; chmod +x s; s; printf '#!/no/such\n' > bad; chmod +x bad; ./bad 2> /dev/null; echo $?; printf '#!/bin/cat -n\nline\n' > c; chmod +x c; ./c; exec sh -c 'echo replaced; exit 8'; echo no""",
    "nested shells": r"""sh -c 'echo $0 $1' zero one; sh -c 'sh -c "sh -c \"echo deep\""'; echo 'echo from stdin; read x; echo $x
data' | sh; sh -s a b <<'EOF'
echo $# $1
EOF
bash -c 'echo ${BASH_VERSION%%.*}'; env -i sh -c 'echo ${HOME-none}'; sh -ec 'false; echo no'; echo $?; sh -uc 'echo $none'; echo $?""",
    "many processes": r"""i=0; while [ $i -lt 60 ]; do /bin/true & i=$((i + 1)); done; wait; echo $i; seq 200 | while read n; do echo $n; done | tail -1; for i in 1 2 3 4 5; do (for j in 1 2 3; do (echo $i$j); done); done; f() { [ $1 -gt 0 ] && (f $(($1 - 1))) || echo bottom; }; f 25""",
    "aliases and command": r"""command echo x; command nothing; echo $?; PATH=; ls; echo $?; /bin/echo full; PATH=/usr/bin:/bin; hash -r; true; : a b; echo $?; unset PATH; echo $?""",
    "times of files": r"""touch -d @100 old; touch -d @200 new; [ new -nt old ]; echo $?; [ old -ot new ]; echo $?; cp -p old copy; stat -c %Y copy; echo x >> old; [ old -nt new ]; echo $?; touch -r new ref; stat -c %Y ref; ln old hard; [ old -ef hard ]; echo $?; mv new moved; stat -c %Y moved""",
    "unlinked and renamed while open": r"""exec 3> f; echo one >&3; rm f; echo two >&3; ls; exec 4< /proc/self/fd/3; cat <&4; exec 3>&-; echo a > x; exec 5< x; mv x y; echo b > x; cat <&5; cat x; mkdir d; cd d; mv ../d ../e; pwd -P; echo z > ../e/in; cat in""",
    "append and truncate": r"""exec 3>> f; exec 4>> f; echo a >&3; echo b >&4; echo c >&3; cat f; : > f; echo d >&3; cat f; exec 5> g; echo long line >&5; : > g; echo x >&5; od -c g""",
    "syntax errors": r"""sh -c 'for'; echo $?; sh -c 'echo "unclosed'; echo $?; sh -c 'fi'; echo $?; sh -c 'case x in'; echo $?; sh -c '(echo'; echo $?; echo ok; eval '}'; echo not in dash""",
    "locales": r"""echo ÄÖÜ | wc -m; x=äöü; echo ${#x}; LC_ALL=C; echo ${#x}; printf '%s\n' b A a B | sort; printf '%s\n' b A a B | LC_ALL=C.UTF-8 sort; LC_ALL=xx_YY ls /no; echo $?""",
    "big data": r"""x=$(seq 20000); echo ${#x}; echo "$x" | tail -1; y=$x$x$x$x; echo ${#y}; set -- $x; echo $#; echo "$y" | wc -l; /bin/echo "$y" > /dev/null; echo $?; export y; /bin/true; echo $?""",
}

BASH = {
    "arrays": r"""a=(one two 'three four'); echo ${#a[@]} ${a[2]} "${a[@]:1}" ${!a[@]}; a+=(five); a[10]=ten; echo ${!a[*]}; unset 'a[1]'; for x in "${a[@]}"; do printf '<%s>' "$x"; done; echo; declare -A m=([k]=v [x y]=z); m[n]=1; for k in "${!m[@]}"; do echo "$k=${m[$k]}"; done | sort; echo ${a[-1]} "${a[@]/o/0}" ${#a[0]}; b=("${a[@]}"); declare -p b; mapfile -t l < <(seq 3); echo ${l[*]}; IFS=,; echo "${a[*]}" """,
    "string operations": r"""s=Hello,World; echo ${s:6} ${s:0:5} ${s: -5:3} ${s/o/0} ${s//o/0} ${s/#Hello/Bye} ${s/%World/All} ${s^^} ${s,,} ${s~} ${s@Q} ${#s}; v=s; echo ${!v}; printf -v out '%03d' 7; echo $out; echo {a,b}{1..3} {01..10..3} {z..w} pre{,fix}; echo $'tab\there\u00e9' ; [[ $s =~ ^([A-Z][a-z]+),(.*)$ ]] && echo ${BASH_REMATCH[1]}-${BASH_REMATCH[2]}; [[ abc == a* && ! abc < abb ]]; echo $?; shopt -s extglob; echo ${s//@(l|o)/_} """,
    "arithmetic commands": r"""((i = 5, i++)); echo $i $?; ((0)); echo $?; for ((i = 0; i < 3; i++)); do echo -n $i; done; echo; let x=2**10 y=x/3; echo $x $y; echo $((16#ff)) $((2#101)) $((x > y && i != 3)); declare -i n=3*4; echo $n; a=(1 2); ((a[1] += 5)); echo ${a[1]}; echo $((1 ? 2 : 3, 4)); ((1 / 0)); echo $?""",
    "process substitution": r"""diff <(seq 3) <(seq 4); echo $?; cat <(echo a) <(echo b); while read l; do echo "[$l]"; done < <(printf 'x\ny\n'); tee >(tr a-z A-Z > up) <<< text; until [ -s up ]; do :; done; cat up; paste <(seq 3) <(seq 4 6); echo <(:) | sed 's/[0-9]*$/N/'; wc -l < <(seq 1000)""",
    "coproc": r"""coproc UP { while read l; do echo "got $l"; done; }; echo one >&${UP[1]}; read r <&${UP[0]}; echo $r; echo two >&${UP[1]}; read r <&${UP[0]}; echo $r; p=$UP_PID; exec {UP[1]}>&-; wait $p; echo $?; coproc cat; echo through >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x; p=$COPROC_PID; kill $p; wait $p; echo $?""",
    "wait -n and jobs": r"""mkfifo go; (exit 2) & (read x < go; exit 3) & wait -n; echo $?; echo > go; wait -n; echo $?; wait -n; echo $?; sleep 50 & jobs -l | sed 's/  *[0-9][0-9]* / PID /'; jobs -p | wc -l; kill %1; wait %1; echo $?; jobs; disown; echo $?; (exit 4) & p=$!; wait -p which $p; echo $? $((which == p))""",
    "job control without a terminal": r"""set -m; sleep 50 & [ $(ps -o pgid= -p $!) = $! ] && echo own group; kill -TSTP %1; until grep -q 'State:.T' /proc/$!/status; do :; done; jobs | tr -s ' '; bg %1; kill %1; wait %1; echo $?; (sleep 0.02 | sleep 0.02) & wait; set +m; sleep 9 & [ $(ps -o pgid= -p $!) = $! ] || echo same group; kill $!""",
    "read options": r"""echo abcdef | { read -n 3 x; echo $x; read -N 2 y; echo $y; }; echo 'a,b,c' | { IFS=, read -a p; echo ${#p[@]} ${p[2]}; }; printf 'x\0y\0' | while IFS= read -r -d '' z; do echo "<$z>"; done; read -t 0.05 w < <(sleep 1); echo $(($? > 128)); read -u 3 t 3<<< three; echo $t; printf 'a\nb\n' | { readarray q; echo ${#q[@]}; }; read -p prompt v <<< val; echo $v""",
    "select": r"""printf '2\n9\n\n3\n' | { PS3='? '; select x in red green quit; do echo "$REPLY:$x"; [ "$x" = quit ] && break; done; } 2>&1""",
    "pipefail and PIPESTATUS": r"""false | true | (exit 3); echo ${PIPESTATUS[@]}; set -o pipefail; false | true; echo $?; (exit 2) | (exit 3) | true; echo $?; true | true; echo $?; shopt -s lastpipe; echo v | read x; echo $x; echo a |& cat; ls /no |& cat; { time -p true; } 2>&1 | tr -d 0-9; ! true | false; echo $?""",
    "traps of bash": r"""trap 'echo err $? line' ERR; false; (exit 3); if false; then :; fi; f() { false; }; f; set -E; f; trap - ERR; trap 'echo debug: $BASH_COMMAND' DEBUG; echo x; trap - DEBUG; g() { trap 'echo return' RETURN; echo in; }; g; trap 'echo "$BASHPID" > /dev/null; echo exit' EXIT; trap -p; bash -c 'trap "echo chld" CHLD; set -m; /bin/true & wait'""",
    "functions of bash": r"""f() { local -a l=(1 2); local x=$1; declare -n r=$2; r=changed; echo ${FUNCNAME[0]} ${#l[@]} $x; }; y=old; f a y; echo $y; g() { echo ${FUNCNAME[@]}; }; h() { g; }; h; fib() { (($1 < 2)) && echo $1 || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }; fib 6; export -f g; bash -c g; caller; echo $?; type g | head -2; declare -F""",
    "special variables": r"""echo $BASH_SUBSHELL $(echo $BASH_SUBSHELL) $SHLVL $LINENO ${#BASH_VERSINFO[@]} $OSTYPE $MACHTYPE $UID $EUID $PPID | sed 's/ [0-9]*$/ PPID/'; (( RANDOM != RANDOM || RANDOM != RANDOM )); echo $?; RANDOM=42; echo $RANDOM $RANDOM; s=$SECONDS; echo $((SECONDS - s < 5)); echo ${EPOCHSECONDS:0:1}; echo $_; set -- a; echo $0 $# "$-"; echo $HOSTNAME $BASH; echo ${GROUPS[0]}""",
    "here-strings and heredocs in loops": r"""cat <<< "here $((1 + 1))"; for i in 1 2; do cat << EOF
$i: $(cat <<< nested)
EOF
done; f() { cat; } <<< "to function"; f; { read a; read b; } << X
l1
l2
X
echo $a $b; cat << 'A' - << B
not shown
A
shown
B
exec 6<<< six; cat <&6""",
    "descriptor variables": r"""exec {fd}> file; echo via $fd >&$fd; exec {fd}>&-; cat file; echo both &> b; ls /no &>> b; cat b; exec 7> s; exec 8>&7 7>&-; echo moved >&8; exec 8>&-; cat s; exec 3< file 4>&1; cat <&3 >&4; echo x 2>&1 > /dev/full; echo $?; { echo a; echo b; } > >(cat -n); wait $!; ls -l /dev/fd | cut -c1""",
    "builtins": r"""enable -n echo; echo ext; enable echo; ulimit -a | wc -l; times > /dev/null; echo $?; suspend; echo $?; fc -l; echo $?; bind -l 2> /dev/null | wc -l > /dev/null; help nothing 2>&1 | head -1; compgen -b | head -3""",
    "options": r"""shopt -s nullglob; echo no*; shopt -u nullglob; shopt -s failglob; echo no*; echo $?; shopt -u failglob; shopt -s dotglob; touch .h v; echo *; shopt -s globstar; mkdir -p d/e; touch d/e/f; echo **; shopt -s nocasematch; [[ ABC == abc ]]; echo $?; set -o | head -3; set -o noclobber; echo > v; echo $?; shopt -s extglob; echo !(v); set -o posix; echo $POSIXLY_CORRECT; echo $SHELLOPTS""",
    "strings and quoting of bash": r"""printf '%q\n' "a b'c" $'x\n' ''; x='a  b'; echo "${x@Q}"; echo ${x@A}; printf '%(%F)T\n' 0; printf '%s\n' "${x// /_}"; echo $'\x41\101\u20ac'; echo "${x:-${y:-deep}}"; echo "a${z}b"; z=$'multi\nline'; echo "$z"; echo $z; echo "${z@E}" "${x@U}"; set -- "$z"; echo "${1%%$'\n'*}" """,
    "signal storms": r"""n=0; trap 'n=$((n + 1)); echo $n > seen' USR1; for i in 1 2 3 4 5 6 7 8 9 10; do kill -USR1 $$; done; echo $n; (for i in 11 12 13; do kill -USR1 $$; until read k < seen && [ $k = $i ]; do :; done; done) & while kill -0 $! 2> /dev/null; do wait; done; echo $n; trap 'echo pipe' PIPE; { sleep 0.05; echo lost; } | true; echo ${PIPESTATUS[1]}; sleep 9 & p=$!; for s in STOP CONT STOP CONT KILL; do kill -$s $p; done; wait $p; echo $?""",
    "timeouts and orphans": r"""timeout 2 bash -c 'trap "" TERM; sleep 2.1; echo survived'; echo $?; timeout -k 0.1 2 bash -c 'trap "" TERM; while :; do :; done'; echo $?; (sleep 0.1 & echo started); bash -c '(me=$BASHPID; while kill -0 $$; do :; done 2> /dev/null; ps -o ppid= -p $me | tr -d " " > p) & exit'; until [ -s p ]; do :; done; cat p; setsid bash -c 'echo $(($(ps -o sid= -p $$) == $$))' | cat; TIMEFORMAT=%U; { time :; } 2>&1 | grep -cx '[0-9]*\.[0-9]\{3\}'""",
}

CASES = PORTABLE | BASH
RUNS = [(shell, name) for name in PORTABLE for shell in ("dash", "bash")] + [("bash", name) for name in BASH]


@pytest.mark.parametrize(("shell", "name"), RUNS)
def test_script_does_what_it_does_on_this_hosts_linux(guest, host, shell, name):
    ours, theirs = guest.script(name + shell, CASES[name], shell), host.script(name + shell, CASES[name], shell)
    for stream, (here, there) in enumerate(zip(ours[1:], theirs[1:], strict=True), 1):
        assert steady(here).decode(errors="backslashreplace").splitlines() == steady(there).decode(errors="backslashreplace").splitlines(), f"descriptor {stream}"
    assert ours[0] == theirs[0]
