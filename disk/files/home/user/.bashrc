# ~/.bashrc: executed by bash(1) for non-login shells.
# Debian's own (/etc/skel/.bashrc) without the programs it starts: each shell begins with its prompt at once.

case $- in
    *i*) ;;
      *) return;;
esac

HISTCONTROL=ignoreboth
HISTSIZE=1000
HISTFILESIZE=2000
shopt -s histappend checkwinsize

case "$TERM" in
    xterm-color|*-256color)
        PS1='\[\033[01;32m\]\u@\h\[\033[00m\]:\[\033[01;34m\]\w\[\033[00m\]\$ '
        alias ls='ls --color=auto'
        alias grep='grep --color=auto'
        alias diff='diff --color=auto' ;;
    *)
        PS1='\u@\h:\w\$ ' ;;
esac

# Titles the terminal's window or tab.
case "$TERM" in
    xterm*) PS1="\[\e]0;\u@\h: \w\a\]$PS1" ;;
esac

alias ll='ls -l'
alias la='ls -A'
alias l='ls -CF'

[ -f ~/.bash_aliases ] && . ~/.bash_aliases
[ -f /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
true
