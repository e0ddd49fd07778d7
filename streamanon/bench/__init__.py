"""How quick this machine is: the work of ``streamanon bench``. Each case runs in a process of its own."""
