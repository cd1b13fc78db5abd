# What login(1) and pam_env would set on a machine that has them.
export LANG=C.UTF-8
export PAGER=less
