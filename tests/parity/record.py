#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch computes, in float64, for tests/parity: python3 tests/parity/record.py

Needs Debian's python3-torch (1.13). Writes *.txt beside itself; the numbers are committed, so no
test needs PyTorch. Each subject is a def of the library as gradus-parity builds it; where PyTorch's
definition differs, the comment of the case says how and the equivalent is recorded.
"""
import math
import os
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def thousandths(x):
    """Short numbers, so that recordings are small; PyTorch and Gradus read the same ones."""
    return torch.tensor([float("%.3f" % v) for v in x.reshape(-1).tolist()]).reshape(x.shape)


class Recording:
    def __init__(self, name):
        torch.manual_seed(20240229)
        self.file = open(os.path.join(HERE, name + ".txt"), "w")
        self.line("# SPDX-License-Identifier: MIT")
        self.line(f"# Recorded by record.py from PyTorch {torch.__version__} in float64.")

    def line(self, text):
        self.file.write(text + "\n")

    def case(self, subject, note=None, examples=1, steps=1):
        self.line("")
        if note:
            self.line("# " + note)
        self.line("case " + subject)
        self.line(f"examples {examples}")
        if steps > 1:
            self.line(f"steps {steps}")

    def numbers(self, head, name, value):
        flat = torch.as_tensor(value).detach().double().reshape(-1)
        words = " ".join(("%.3f" if head == "leaf" else "%.15g") % v for v in flat.tolist())
        self.line(f"{head} {name} {flat.numel()} {words}")

    def probe(self, subject, f, inputs, params=None, states=None, note=None, labels=()):
        """y = f(inputs, params, states, training): values, the loss sum(y * weight), its gradients
        and new states, as elab_def states them."""
        inputs = [thousandths(x) for x in inputs]
        params = {k: thousandths(v) for k, v in (params or {}).items()}
        states = {k: thousandths(v) for k, v in (states or {}).items()}
        names = ["x"] + [f"x{i}" for i in range(2, len(inputs) + 1)]
        weight = None
        self.case(subject, note, len(inputs[0]))
        for training, program in ((True, "step"), (False, "eval")):
            xs = [x.clone().requires_grad_(i not in labels) for i, x in enumerate(inputs)]
            ps = {k: p.clone().requires_grad_(True) for k, p in params.items()}
            ss = {k: s.clone() for k, s in states.items()}
            y = f(xs, ps, ss, training)
            if weight is None:
                weight = thousandths(torch.randn(y.shape))
                for name, value in [*zip(names, inputs), ("weight", weight), *params.items(), *states.items()]:
                    self.numbers("leaf", name, value)
            loss = (y * weight).sum()
            loss.backward()
            self.numbers(f"{program} 1", "y", y)
            self.numbers(f"{program} 1", "loss", loss)
            if not training and not states:
                continue  # the gradients are those of the step
            for i, name in enumerate(names):
                if i not in labels:
                    self.numbers(f"{program} 1", "grad:" + name, xs[i].grad)
            for name in params:
                self.numbers(f"{program} 1", "grad:" + name, ps[name].grad)
            if training:
                for name in states:
                    self.numbers("next 1", name, ss[name])


def apart(*shape, reach=1.0):
    """Numbers that keep away from 0, where functions have their kinks."""
    x = torch.randn(*shape) * reach
    return x + 0.05 * torch.sign(x)


def activations():
    r = Recording("activation")
    simple = {
        "identity on [5]": lambda x: x,
        "relu on [9]": F.relu,
        "leaky_relu on [9]": lambda x: F.leaky_relu(x, 0.01),
        "leaky_relu(a = 0.2) on [3, 4]": lambda x: F.leaky_relu(x, 0.2),
        "sigmoid on [9]": torch.sigmoid,
        "softsign on [9]": F.softsign,
        "softplus on [9]": F.softplus,
        "elu on [9]": F.elu,
        "elu(alpha = 0.7) on [9]": lambda x: F.elu(x, 0.7),
        "selu on [9]": F.selu,
        "gelu on [9]": F.gelu,
        "silu on [9]": F.silu,
        "softmax on [7]": lambda x: F.softmax(x, -1),
    }
    for subject, f in simple.items():
        shape = [int(n) for n in subject.split("[")[1].rstrip("]").split(",")]
        r.probe(subject, lambda xs, p, s, t: f(xs[0]), [apart(6, *shape, reach=1.7)])
    r.probe("lecun_tanh on [9]", lambda xs, p, s, t: 1.7159 * torch.tanh(xs[0] * 2 / 3), [apart(6, 9)],
            note="no name of its own in PyTorch: of torch.tanh")
    r.probe("prelu on [3, 2, 2]", lambda xs, p, s, t: F.prelu(xs[0], p["prelu1.a"]), [apart(6, 3, 2, 2)],
            {"prelu1.a": torch.tensor([0.25, 0.1, -0.3])})
    r.probe("softmax on [7]", lambda xs, p, s, t: F.softmax(xs[0], -1), [apart(3, 7, reach=200.0)],
            note="logits so far apart that exp of them overflows")


def losses():
    r = Recording("loss")
    n = 8

    def regression(subject, f, shape, note=None):
        r.probe(subject, lambda xs, p, s, t: f(xs[0], xs[1]).reshape(n, -1).mean(1),
                [apart(n, *shape), apart(n, *shape)], note=note)
    regression("mse on [5], [5]", lambda y, t: F.mse_loss(y, t, reduction="none"), [5])
    regression("absolute on [5], [5]", lambda y, t: F.l1_loss(y, t, reduction="none"), [5])
    regression("huber on [5], [5]", lambda y, t: F.huber_loss(y, t, reduction="none"), [5])
    regression("huber on [2, 3], [2, 3]", lambda y, t: F.smooth_l1_loss(y, t, reduction="none"), [2, 3],
               "smooth L1 is Huber's loss with delta = 1")
    regression("huber(delta = 0.3) on [5], [5]", lambda y, t: F.huber_loss(y, t, delta=0.3, reduction="none"), [5])
    regression("huber(delta = 0.3) on [4], [4]", lambda y, t: 0.3 * F.smooth_l1_loss(y, t, beta=0.3, reduction="none"),
               [4], "smooth_l1_loss(beta) is Huber's loss over beta: recorded times beta")

    def classes(subject, f, c, reach=1.5, note=None):
        r.probe(subject, lambda xs, p, s, t: f(xs[0], xs[1].long()),
                [apart(n, c, reach=reach), torch.randint(0, c, (n,))], note=note, labels=(1,))
    classes("cross_entropy on [6], class[6]", lambda y, t: F.cross_entropy(y, t, reduction="none"), 6)
    classes("cross_entropy on [4], class[4]", lambda y, t: F.cross_entropy(y, t, reduction="none"), 4, 300,
            "logits so far apart that exp of them overflows")
    classes("label_smoothing on [6], class[6]",
            lambda y, t: F.cross_entropy(y, t, reduction="none", label_smoothing=0.1), 6)
    classes("label_smoothing(eps = 0.3) on [3], class[3]",
            lambda y, t: F.cross_entropy(y, t, reduction="none", label_smoothing=0.3), 3)
    classes("hinge on [2], class[2]", lambda y, t: 2 * F.multi_margin_loss(y, t, reduction="none"), 2,
            note="PyTorch's multi_margin_loss is the sum over k != t over the classes, Crammer & Singer's the largest: "
                 "of two classes the one is half the other")

    classes("weighted_cross_entropy([0.5, 2, 1]) on [3], class[3]",
            lambda y, t: F.cross_entropy(y, t, torch.tensor([0.5, 2.0, 1.0]), reduction="none"), 3)

    def largest_margin(y, t, margin):
        own = y.gather(1, t[:, None])
        gap = (margin + y - own).scatter(1, t[:, None], 0.0)
        return gap.max(1).values.clamp(min=0)
    classes("hinge(margin = 0.5) on [5], class[5]", lambda y, t: largest_margin(y, t, 0.5), 5,
            note="the largest margin, of PyTorch's max and clamp")
    r.probe("binary_cross_entropy on [1], class[2]",
            lambda xs, p, s, t: F.binary_cross_entropy_with_logits(xs[0][:, 0], xs[1].double(), reduction="none"),
            [apart(n, 1, reach=4.0), torch.randint(0, 2, (n,))], labels=(1,))


def layers():
    r = Recording("layer")
    n = 3

    def dense(subject, units, shape, bias=True):
        count = math.prod(shape)
        params = {"dense1.W": torch.randn(units, *shape) * 0.5}
        if bias:
            params["dense1.b"] = torch.randn(units)
        r.probe(subject, lambda xs, p, s, t: F.linear(xs[0].reshape(n, -1), p["dense1.W"].reshape(units, count),
                                                     p.get("dense1.b")), [torch.randn(n, *shape)], params)
    dense("dense(5) on [4]", 5, [4])
    dense("dense(3, bias = none) on [2, 3]", 3, [2, 3], bias=False)

    def conv(subject, o, c, k, h, w, stride=1, pad=0, bias=True):
        params = {"conv1.W": torch.randn(o, c, k, k) * 0.4}
        if bias:
            params["conv1.b"] = torch.randn(o)
        r.probe(subject, lambda xs, p, s, t: F.conv2d(xs[0], p["conv1.W"], p.get("conv1.b"), stride, pad),
                [torch.randn(n, c, h, w)], params)
    conv("conv(3, 3) on [2, 5, 6]", 3, 2, 3, 5, 6)
    conv("conv(2, 3, stride = 2, pad = 1) on [2, 6, 5]", 2, 2, 3, 6, 5, 2, 1)
    conv("conv(2, 2, stride = 3, bias = none) on [1, 7, 7]", 2, 1, 2, 7, 7, 3, 0, False)
    conv("conv(4, 1) on [3, 2, 3]", 4, 3, 1, 2, 3)
    image = {
        "maxpool(2) on [2, 4, 5]": lambda x: F.max_pool2d(x, 2),
        "maxpool(3, 1) on [1, 5, 5]": lambda x: F.max_pool2d(x, 3, 1),
        "maxpool(3, 2) on [2, 7, 6]": lambda x: F.max_pool2d(x, 3, 2),
        "avgpool(2) on [2, 4, 5]": lambda x: F.avg_pool2d(x, 2),
        "avgpool(3, 2) on [2, 7, 6]": lambda x: F.avg_pool2d(x, 3, 2),
        "global_avgpool on [3, 2, 4]": lambda x: F.adaptive_avg_pool2d(x, 1).reshape(n, -1),
        "flatten on [2, 3, 2]": lambda x: torch.flatten(x, 1),
    }
    for subject, f in image.items():
        shape = [int(k) for k in subject.split("[")[1].rstrip("]").split(",")]
        r.probe(subject, lambda xs, p, s, t: f(xs[0]), [torch.randn(n, *shape)])
    r.probe("concat on [2, 2, 3], [1, 2, 3]", lambda xs, p, s, t: torch.cat(xs, 1),
            [torch.randn(n, 2, 2, 3), torch.randn(n, 1, 2, 3)])
    r.probe("maxout(3, pieces = 4) on [5]",
            lambda xs, p, s, t: (torch.einsum("ukd,nd->nuk", p["maxout1.W"], xs[0]) + p["maxout1.b"]).max(2).values,
            [torch.randn(n, 5)], {"maxout1.W": torch.randn(3, 4, 5), "maxout1.b": torch.randn(3, 4)},
            note="no name of its own in PyTorch: of einsum and max")

    def attention(xs, p, s, t):
        d = xs[0].shape[-1]
        whole = torch.cat([p["attention1.Q"], p["attention1.K"], p["attention1.V"]])
        y, _ = F.multi_head_attention_forward(
            *[xs[0].transpose(0, 1)] * 3, d, 1, whole, None, None, None, False, 0.0, torch.eye(d), None)
        return y.transpose(0, 1)
    r.probe("attention(4) on [5, 4]", attention, [torch.randn(n, 5, 4)],
            {f"attention1.{k}": torch.randn(4, 4) * 0.6 for k in "QKV"},
            note="multi_head_attention_forward of one head whose output projection is the identity")

    def block(stride, c, o, h):
        def norm(x, p, s, t, k):
            return F.batch_norm(x, s[k + ".moving_mean"], s[k + ".moving_var"], p[k + ".gamma"], p[k + ".beta"], t, 0.1, 1e-5)

        def f(xs, p, s, t):
            x = xs[0]
            a = F.relu(norm(F.conv2d(x, p["residual1.a.conv1.W"], None, stride, 1), p, s, t, "residual1.a.batchnorm1"))
            a = norm(F.conv2d(a, p["residual1.a.conv2.W"], None, 1, 1), p, s, t, "residual1.a.batchnorm2")
            if short:
                x = norm(F.conv2d(x, p["residual1.s.conv1.W"], None, stride), p, s, t, "residual1.s.batchnorm1")
            return F.relu(a + x)
        short = stride != 1 or c != o
        params, states = {}, {}
        paths = {"a.%s1": (o, c, 3, 3), "a.%s2": (o, o, 3, 3), "s.%s1": (o, c, 1, 1)}
        for path in list(paths)[:3 if short else 2]:
            one = "residual1." + path
            params[one % "conv" + ".W"] = torch.randn(*paths[path]) * 0.3
            params[one % "batchnorm" + ".gamma"] = 0.5 + torch.rand(o)
            params[one % "batchnorm" + ".beta"] = torch.randn(o)
            states[one % "batchnorm" + ".moving_mean"] = torch.randn(o) * 0.1
            states[one % "batchnorm" + ".moving_var"] = 0.5 + torch.rand(o)
        option = "" if stride == 1 else f", stride = {stride}"
        r.probe(f"residual({o}{option}) on [{c}, {h}, {h}]", f, [torch.randn(n, c, h, h)], params, states,
                note="the basic block of torchvision's ResNet, of PyTorch's conv2d and batch_norm")
    block(1, 2, 2, 4)
    block(2, 2, 3, 4)


def normalization():
    r = Recording("normalization")
    n = 5

    def batch(xs, p, s, t):
        return F.batch_norm(xs[0], s["batchnorm1.moving_mean"], s["batchnorm1.moving_var"],
                            p["batchnorm1.gamma"], p["batchnorm1.beta"], t, 0.1, 1e-5)
    for shape in ([4], [3, 2, 2]):
        c = shape[0]
        r.probe(f"batchnorm on {shape}", batch, [torch.randn(n, *shape) * 2 + 1],
                {"batchnorm1.gamma": 0.5 + torch.rand(c), "batchnorm1.beta": torch.randn(c)},
                {"batchnorm1.moving_mean": torch.randn(c), "batchnorm1.moving_var": 0.5 + torch.rand(c)},
                note="PyTorch's momentum is 1 - decay")
        r.probe(f"layernorm on {shape}",
                lambda xs, p, s, t: F.layer_norm(xs[0], shape, p["layernorm1.gamma"], p["layernorm1.beta"], 1e-5),
                [torch.randn(n, *shape) * 2 + 1],
                {"layernorm1.gamma": 0.5 + torch.rand(*shape), "layernorm1.beta": torch.randn(*shape)})
    r.probe("groupnorm(groups = 2) on [4, 2, 3]",
            lambda xs, p, s, t: F.group_norm(xs[0], 2, p["groupnorm1.gamma"], p["groupnorm1.beta"], 1e-5),
            [torch.randn(n, 4, 2, 3) * 2 + 1], {"groupnorm1.gamma": 0.5 + torch.rand(4), "groupnorm1.beta": torch.randn(4)})
    r.probe("weightnorm(3) on [4]",
            lambda xs, p, s, t: F.linear(xs[0], torch._weight_norm(p["weightnorm1.V"], p["weightnorm1.g"][:, None], 0),
                                         p["weightnorm1.b"]),
            [torch.randn(n, 4)],
            {"weightnorm1.V": torch.randn(3, 4), "weightnorm1.g": torch.randn(3), "weightnorm1.b": torch.randn(3)})


def recurrent():
    r = Recording("recurrent")
    n, t, d, u = 2, 4, 3, 3

    def loaded(cell, w, h, b):
        """A PyTorch layer's function of these parameters: it holds two biases, the second stays 0."""
        return lambda x: getattr(torch, cell)(x, *START[cell](x), [w, h, b, torch.zeros_like(b)], True, 1, 0.0,
                                                  True, False, True)[0]
    zeros = lambda x: torch.zeros(1, x.shape[0], u)
    START = {"rnn_tanh": lambda x: (zeros(x),), "lstm": lambda x: ((zeros(x), zeros(x)),)}

    def params(name, gates):
        g = (gates,) if gates > 1 else ()
        return {f"{name}1.W": torch.randn(*g, u, d), f"{name}1.R": torch.randn(*g, u, u) * 0.7,
                f"{name}1.b": torch.randn(*g, u) * 0.5}
    r.probe(f"rnn({u}) on [{t}, {d}]",
            lambda xs, p, s, _: loaded("rnn_tanh", p["rnn1.W"], p["rnn1.R"], p["rnn1.b"])(xs[0]),
            [torch.randn(n, t, d)], params("rnn", 1), note="PyTorch holds a second bias beside b: 0 here")

    def lstm(xs, p, s, _):
        more = torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None]
        return loaded("lstm", p["lstm1.W"].reshape(4 * u, d), p["lstm1.R"].reshape(4 * u, u),
                      (p["lstm1.b"] + more).reshape(-1))(xs[0])
    r.probe(f"lstm({u}) on [{t}, {d}]", lstm, [torch.randn(n, t, d)], params("lstm", 4),
            note="the same order of gates; `forget` = 1 is part of PyTorch's bias")

    def gru(xs, p, s, _):
        w, v, b = p["gru1.W"], p["gru1.R"], p["gru1.b"]
        h, out = torch.zeros(n, u), []
        for k in range(t):
            a = torch.einsum("gud,nd->gnu", w, xs[0][:, k]) + b[:, None]
            z, reset = torch.sigmoid(a[0] + h @ v[0].T), torch.sigmoid(a[1] + h @ v[1].T)
            h = z * h + (1 - z) * torch.tanh(a[2] + (reset * h) @ v[2].T)
            out.append(h)
        return torch.stack(out, 1)
    r.probe(f"gru({u}) on [{t}, {d}]", gru, [torch.randn(n, t, d)], params("gru", 3),
            note="torch.nn.GRU resets behind the product, r (R_n h), as cuDNN; the paper before it, R_n (r h): of PyTorch's "
                 "matrix products")


class Training:
    """The network of template.gr and one batch for all of its steps."""
    NAMES = ("dense1.W", "dense1.b", "dense2.W", "dense2.b")

    def __init__(self):
        torch.manual_seed(7)
        self.x, self.t = thousandths(torch.randn(6, 3)), thousandths(torch.randn(6, 2))
        shapes = ((4, 3), (4,), (2, 4), (2,))
        self.start = [thousandths(torch.randn(*s) * 0.6) for s in shapes]
        self.w = [w.clone().requires_grad_(True) for w in self.start]

    def loss(self):
        w1, b1, w2, b2 = self.w
        return F.mse_loss(F.linear(torch.tanh(F.linear(self.x, w1, b1)), w2, b2), self.t)


def train(r, subject, optimizer, note=None, steps=10, before=None, penalty=None, seen=None, after=None):
    """Ten steps; `before` changes gradients, `penalty` adds to the loss, `after` changes weights,
    `seen(w, state)` gives the weights of the library's form from those of PyTorch's."""
    run = Training()
    opt = optimizer(run.w)
    r.case("train " + subject, note, len(run.x), steps)
    for name, value in [("x", run.x), ("y.target", run.t), *zip(run.NAMES, run.start)]:
        r.numbers("leaf", name, value)
    for step in range(1, steps + 1):
        opt.zero_grad()
        loss = run.loss()
        if penalty:
            loss = loss + penalty(run.w)
        loss.backward()
        if before:
            before(run.w)
        opt.step()
        with torch.no_grad():
            if after:
                after(run.w)
            for name, w in zip(run.NAMES, run.w):
                r.numbers(f"next {step}", name, seen(w, opt.state[w]) if seen else w)


def optimizers():
    r = Recording("optimizer")
    o = torch.optim
    train(r, "optimizer = sgd(lr = 0.1)", lambda w: o.SGD(w, 0.1))
    train(r, "optimizer = momentum(lr = 0.05, gamma = 0.9)", lambda w: o.SGD(w, 0.05, momentum=0.9),
          "PyTorch's buffer is -v / lr: the same weights while lr is constant")
    train(r, "optimizer = nesterov(lr = 0.05, gamma = 0.9)", lambda w: o.SGD(w, 0.05, momentum=0.9, nesterov=True),
          "PyTorch holds the look-ahead point w + gamma v, v = -lr buffer; recorded is w, and both start at v = 0",
          seen=lambda w, s: w + 0.9 * 0.05 * s["momentum_buffer"])
    train(r, "optimizer = adagrad(lr = 0.1, delta = 1e-7)", lambda w: o.Adagrad(w, 0.1, eps=1e-7),
          "delta is PyTorch's eps, outside the root as there (its default 1e-10)")
    train(r, "optimizer = adadelta(lr = 1, rho = 0.95, eps = 1e-6)", lambda w: o.Adadelta(w, 1.0, 0.95, 1e-6),
          "lr multiplies the paper's step, as there (PyTorch's default rho is 0.9)")
    train(r, "optimizer = adadelta(lr = 0.5, rho = 0.9)", lambda w: o.Adadelta(w, 0.5, 0.9, 1e-6))
    train(r, "optimizer = rmsprop(lr = 0.01, rho = 0.9, delta = 1e-6)", lambda w: o.RMSprop(w, 0.01, 0.9, 1e-6),
          "delta is PyTorch's eps, outside the root as there; PyTorch has no form with it inside")
    train(r, "optimizer = rmsprop(lr = 0.01, rho = 0.99, delta = 1e-8)", lambda w: o.RMSprop(w, 0.01))
    train(r, "optimizer = adam", lambda w: o.Adam(w))
    train(r, "optimizer = adam(lr = 0.05, rho1 = 0.8, rho2 = 0.95, delta = 1e-4)",
          lambda w: o.Adam(w, 0.05, (0.8, 0.95), 1e-4))
    train(r, "optimizer = adamw(lr = 0.02, decay = 0.1)", lambda w: o.AdamW(w, 0.02, weight_decay=0.1))
    train(r, "optimizer = nadam(lr = 0.02)", lambda w: o.NAdam(w, 0.02, momentum_decay=1e9, foreach=True),
          "PyTorch lets the decay grow towards rho1; momentum_decay so large that it is rho1 from the start; its "
          "foreach form, as the other one of 1.13 multiplies the decay in twice")
    train(r, "optimizer = rprop(start = 0.1, largest = 50, hold = true)", lambda w: o.Rprop(w, 0.1),
          "PyTorch's is iRprop-, hold = true; Rprop- goes on in the step in which the sign changes", steps=20)


def regularization():
    r = Recording("regularization")
    train(r, "optimizer = sgd(lr = 0.1); penalty = l2(0.05)", lambda w: torch.optim.SGD(w, 0.1, weight_decay=0.05),
          "PyTorch's weight_decay is lambda of lambda / 2 w^2")
    train(r, "optimizer = adam(lr = 0.01); penalty = l2(0.05)", lambda w: torch.optim.Adam(w, 0.01, weight_decay=0.05),
          "the decay is part of the gradient, as in PyTorch's Adam")
    train(r, "optimizer = sgd(lr = 0.1); penalty = l1(0.02) on W", sgd_of(0.1),
          penalty=lambda w: 0.02 * sum(v.abs().sum() for v in (w[0], w[2])))

    def clip_norm(w):  # PyTorch divides by norm + 1e-6
        norm = torch.nn.utils.clip_grad_norm_(w, math.inf)
        if norm > 0.2:
            for v in w:
                v.grad *= 0.2 / norm
    train(r, "optimizer = sgd(lr = 0.3); gradients = clip_norm(0.2)", sgd_of(0.3),
          "clip_grad_norm_ divides by norm + 1e-6, the paper by the norm: recorded with PyTorch's norm, without its 1e-6",
          before=clip_norm)
    train(r, "optimizer = sgd(lr = 0.3); gradients = clip_value(0.03)", sgd_of(0.3),
          before=lambda w: torch.nn.utils.clip_grad_value_(w, 0.03))

    def shrink(w):
        for v in (w[0], w[2]):
            v *= (0.8 / v.norm(dim=1, keepdim=True)).clamp(max=1)
    train(r, "optimizer = sgd(lr = 0.3); constraint = max_norm(0.8) on W", sgd_of(0.3),
          "renorm divides by norm + 1e-7: recorded of PyTorch's norm and clamp", after=shrink)


def sgd_of(lr):
    return lambda w: torch.optim.SGD(w, lr)


def moments(r, subject, leaf, draw, note=None):
    """Of 2^20 draws: mean, deviation, fourth moment over variance squared, largest, their number."""
    r.case(subject, note)
    w = draw()
    if w.min() == w.max():
        r.numbers("moments 1", leaf, torch.tensor([w[0], 0.0, 0.0, abs(w[0]), float(w.numel())]))
        return
    sd = w.std(unbiased=False)
    fourth = ((w ** 4).mean() / sd ** 4) if sd > 0 else torch.tensor(0.0)
    r.numbers("moments 1", leaf, torch.stack([w.mean(), sd, fourth, w.abs().max(), torch.tensor(float(w.numel()))]))


def initializers():
    r = Recording("initializer")
    i, m, n = torch.nn.init, 320, 200

    def of(f, *args, **named):
        def draw():
            torch.manual_seed(99)
            parts = [f(torch.empty(m, n), *args, **named).reshape(-1) for _ in range(16)]
            return torch.cat(parts)
        return draw
    dense = f"dense({m}, init = %s) on [{n}]"
    rows = [
        ("constant(0.3)", of(i.constant_, 0.3), None),
        ("small_normal(sd = 0.02)", of(i.normal_, 0.0, 0.02), None),
        ("small_uniform(a = 0.05)", of(i.uniform_, -0.05, 0.05), None),
        ("lecun", of(i.kaiming_normal_, nonlinearity="linear"), "gain 1: variance 1 / fan_in"),
        ("xavier", of(i.xavier_uniform_), None),
        ("xavier_normal", of(i.xavier_normal_), None),
        ("caffe_xavier", of(i.kaiming_uniform_, nonlinearity="linear"), "gain 1: bound sqrt(3 / fan)"),
        ('caffe_xavier(fan = "out")', of(i.kaiming_uniform_, mode="fan_out", nonlinearity="linear"), None),
        ('caffe_xavier(fan = "average")', of(i.xavier_uniform_), "3 over the mean of the fans is 6 over their sum"),
        ("he", of(i.kaiming_normal_, nonlinearity="relu"), None),
        ("he_uniform", of(i.kaiming_uniform_, nonlinearity="relu"), None),
        ("he_leaky(a = 0.3)", of(i.kaiming_normal_, a=0.3), None),
        ("orthogonal", of(i.orthogonal_), None),
        ("orthogonal(gain = 2)", of(i.orthogonal_, gain=2.0), None),
        ("sparse(k = 15)", lambda: of_sparse(15), "sparse_ has its zeros in columns, the papers in the rows of W"),
    ]

    def of_sparse(k):  # n - k zeros: ceil of half a zero less
        torch.manual_seed(99)
        return torch.cat([i.sparse_(torch.empty(n, m), (n - k - 0.5) / n, 1.0).T.reshape(-1) for _ in range(16)])
    for name, draw, note in rows:
        moments(r, dense % name, "dense1.W", draw, note)

    def kernels():
        torch.manual_seed(5)
        return torch.cat([i.kaiming_normal_(torch.empty(40, 30, 5, 5)).reshape(-1) for _ in range(16)])
    moments(r, "conv(40, 5) on [30, 5, 5]", "conv1.W", kernels, "fan_in counts the kernel's positions")


if __name__ == "__main__":
    activations()
    losses()
    layers()
    normalization()
    recurrent()
    optimizers()
    regularization()
    initializers()
