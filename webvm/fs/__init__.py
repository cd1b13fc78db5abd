"""Files: names to inodes to bytes. Knows nothing of tasks or system calls; whoever must wait awaits."""
