"""What the log says while nets and solvers are made: the lines of the original, in its order."""

import caffe

NET = """
name: "tiny"
layer { name: "x" type: "DummyData" top: "x" top: "y"
        dummy_data_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 }
                           data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
        param { lr_mult: 0 } param { lr_mult: 0 }
        convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "fcb" type: "InnerProduct" bottom: "conv" top: "fcb"
        param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "silence" type: "Silence" bottom: "fcb" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "y" loss_weight: 0.3 }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "fc" bottom: "y" top: "loss2" loss_weight: 2
        include { phase: TRAIN } }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "y" top: "accuracy"
        include { phase: TEST } }
layer { name: "acc2" type: "Accuracy" bottom: "fc" bottom: "y" top: "accuracy2"
        include { phase: TRAIN stage: "more" } }
"""

# what the original logged for NET in the phase TRAIN
ORIGINAL = """
The NetState phase (0) differed from the phase (1) specified by a rule in layer acc
The NetState did not contain stage 'more' specified by a rule in layer acc2
Initializing net from parameters: 
Creating Layer x
x -> x
x -> y
Setting up x
Top shape: 4 3 5 5 (300)
Top shape: 4 (4)
Memory required for data: 1216
Creating Layer y_x_1_split
y_x_1_split <- y
y_x_1_split -> y_x_1_split_0
y_x_1_split -> y_x_1_split_1
Setting up y_x_1_split
Top shape: 4 (4)
Top shape: 4 (4)
Memory required for data: 1248
Creating Layer conv
conv <- x
conv -> conv
Setting up conv
Top shape: 4 3 3 3 (108)
Memory required for data: 1680
Creating Layer relu
relu <- conv
relu -> conv (in-place)
Setting up relu
Top shape: 4 3 3 3 (108)
Memory required for data: 2112
Creating Layer conv_relu_0_split
conv_relu_0_split <- conv
conv_relu_0_split -> conv_relu_0_split_0
conv_relu_0_split -> conv_relu_0_split_1
Setting up conv_relu_0_split
Top shape: 4 3 3 3 (108)
Top shape: 4 3 3 3 (108)
Memory required for data: 2976
Creating Layer fc
fc <- conv_relu_0_split_0
fc -> fc
Setting up fc
Top shape: 4 3 (12)
Memory required for data: 3024
Creating Layer fc_fc_0_split
fc_fc_0_split <- fc
fc_fc_0_split -> fc_fc_0_split_0
fc_fc_0_split -> fc_fc_0_split_1
Setting up fc_fc_0_split
Top shape: 4 3 (12)
Top shape: 4 3 (12)
Memory required for data: 3120
Creating Layer fcb
fcb <- conv_relu_0_split_1
fcb -> fcb
Setting up fcb
Top shape: 4 3 (12)
Memory required for data: 3168
Sharing parameters 'w' owned by layer 'fc', param index 0
Sharing parameters 'b' owned by layer 'fc', param index 1
Creating Layer silence
silence <- fcb
Setting up silence
Memory required for data: 3168
Creating Layer loss
loss <- fc_fc_0_split_0
loss <- y_x_1_split_0
loss -> (automatic)
Setting up loss
Top shape: (1)
    with loss weight 0.3
Memory required for data: 3172
Creating Layer loss2
loss2 <- fc_fc_0_split_1
loss2 <- y_x_1_split_1
loss2 -> loss2
Setting up loss2
Top shape: (1)
    with loss weight 2
Memory required for data: 3176
loss2 needs backward computation.
loss needs backward computation.
silence does not need backward computation.
fcb does not need backward computation.
fc_fc_0_split needs backward computation.
fc needs backward computation.
conv_relu_0_split does not need backward computation.
relu does not need backward computation.
conv does not need backward computation.
y_x_1_split does not need backward computation.
x does not need backward computation.
This network produces output loss2
Network initialization done.
"""


def messages(capsys):
    """The messages in the log; those of several lines without their prototxt."""
    return [line.partition("] ")[2].rstrip() for line in capsys.readouterr().err.splitlines()
            if line.startswith("I")]


def lines(text):
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def test_a_net_is_logged_as_by_the_original(net, capsys):
    net(NET, phase=caffe.TRAIN)
    assert [line for line in messages(capsys) if not line.startswith("Creating layer ")] \
        == lines(ORIGINAL)


def test_the_prototxt_is_logged_with_the_layers_of_the_phase(net, capsys):
    net(NET, phase=caffe.TRAIN)
    text = capsys.readouterr().err
    shown = text.partition("Initializing net from parameters: \n")[2].partition("\nI")[0]
    assert 'name: "loss2"' in shown and 'name: "acc"' not in shown
    assert "\n    lr_mult: 0\n" in shown and "\n  loss_weight: 0.3\n" in shown
    again = net(shown, phase=caffe.TRAIN)       # it is a prototxt
    assert list(again.blobs) == list(net(NET, phase=caffe.TRAIN).blobs)


def test_rules_that_are_not_met_are_logged(net, capsys):
    net("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
        layer { name: "low" type: "ReLU" bottom: "x" top: "a" include { min_level: 3 } }
        layer { name: "high" type: "ReLU" bottom: "x" top: "b" include { max_level: 1 } }
        layer { name: "not" type: "ReLU" bottom: "x" top: "c" include { not_stage: "s" } }
        layer { name: "out" type: "ReLU" bottom: "x" top: "d" exclude { stage: "s" } }
        layer { name: "in" type: "ReLU" bottom: "x" top: "e" exclude { stage: "other" } }""",
        phase=caffe.TEST, level=2, stages=["s"])
    assert messages(capsys)[:4] == [
        "The NetState level (2) is above the min_level (3) specified by a rule in layer low",
        "The NetState level (2) is above the max_level (1) specified by a rule in layer high",
        "The NetState contained a not_stage 's' specified by a rule in layer not",
        "The NetState did not contain stage 'other' specified by a rule in layer in"]


def test_names_that_are_not_utf_8_do_not_break_the_log(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'layer { name: "\xe9" type: "Input" top: "x" '
                     b'input_param { shape { dim: 1 } } }')
    caffe.Net(str(path), caffe.TEST)
    assert "Creating Layer \\xe9" in messages(capsys)


def test_a_silenced_log_says_nothing(net, capsys):
    try:
        caffe.init_log(1)
        net(NET, phase=caffe.TRAIN)
    finally:
        caffe.init_log(0)
    assert not capsys.readouterr().err


def test_a_solver_is_logged_as_by_the_original(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 1 '
        'test_interval: 1 snapshot_prefix: "s"')
    solver = caffe.get_solver("solver.prototxt")
    said = [line for line in messages(capsys) if line.startswith(("Initializing", "Creating t",
                                                                 "Solver"))]
    assert said == [
        "Initializing solver from parameters:",
        "Creating training net from net file: net.prototxt", "Initializing net from parameters:",
        "Creating test net (#0) specified by net file: net.prototxt",
        "Initializing net from parameters:", "Solver scaffolding done."]
    solver.step(1)
    assert messages(capsys).count("Ignoring source layer loss2") == 1
    solver.net.save("w.caffemodel")
    (tmp_path / "two.prototxt").write_text(
        'train_net: "net.prototxt" test_net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" '
        'test_iter: 1 test_interval: 1 weights: "w.caffemodel"')
    caffe.get_solver("two.prototxt")
    said = messages(capsys)
    assert "Creating training net from train_net file: net.prototxt" in said
    assert "Finetuning from w.caffemodel" in said
    assert "Creating test net (#0) specified by test_net file: net.prototxt" in said


def test_weights_of_which_nothing_is_taken_are_warned_of(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "other.prototxt").write_text(
        NET.replace('name: "conv"', 'name: "first"').replace('name: "fc', 'name: "last'))
    (tmp_path / "shared.prototxt").write_text(NET.replace('name: "conv"', 'name: "first"'))
    (tmp_path / "bare.prototxt").write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }')
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    warning = "w.caffemodel: none of its layers with parameters has the name of one in "
    for name, warned in (("net", False), ("other", True), ("shared", False), ("bare", False)):
        made = caffe.Net(f"{name}.prototxt", caffe.TEST)
        capsys.readouterr()
        made.copy_from("w.caffemodel")
        assert (warning in capsys.readouterr().err) == warned, name
