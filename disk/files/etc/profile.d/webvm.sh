# What login(1) would do on a machine that has one: the locale, and today's message to whoever sits at the terminal.
export LANG=C.UTF-8
export PAGER=less
case $- in
    *i*)
        if [ ! -e ~/.hushlogin ] && [ -r /etc/motd ]; then
            while IFS= read -r webvm_line; do printf '%s\n' "$webvm_line"; done < /etc/motd
            unset webvm_line
        fi ;;
esac
