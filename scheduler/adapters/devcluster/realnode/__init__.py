"""One real node beside the control plane: containerd, runc and a kubelet on loopback, for processes that really get SIGTERM.

They run in a mount and a process namespace of their own, whose first process is `inside`. When that one ends, all that is in it
ends: pods, mounts and pod networks too, also when nobody is left to tidy up.

`needs` says what must be there, `images` makes images (none can be pulled), `files` writes what the programs read,
`node.RealNode` starts and stops, `remains` finds what is left.
"""
