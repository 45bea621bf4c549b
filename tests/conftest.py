"""What every test may rely on."""

import signal

# A shell that starts a job in the background lets it ignore Ctrl-C, and its children with it: the
# tests that interrupt would then wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
