"""What solvers in several processes need to train one net: how they meet, what each is doing, and
how they add up their gradients. caffe.NCCL (engine/parallel.py) puts it together."""
