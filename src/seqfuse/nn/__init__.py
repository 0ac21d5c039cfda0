"""The network, as parts of plain torch: stem, cnn, lstm, attention, head, net.

Every stem and block maps (b t d) and a mask (b t) to the same kind of pair, and
returns zeros at masked steps; so padding never changes an output.
"""

from seqfuse.nn.attention import (
    Additive,
    Conditioned,
    EachStep,
    Last,
    Mean,
    MeanMax,
    MultiHead,
    ScaledSum,
    Steps,
)
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.bank.lags import LagBank
from seqfuse.nn.cnn import Cnn, DenseCnn, Inception, SegmentConv
from seqfuse.nn.fusion import EarlyFusion, Fusion, LateFusion
from seqfuse.nn.heads import (
    Autoregression,
    ClassHead,
    CrfHead,
    Cycle,
    Decomposed,
    HorizonHead,
    LowRank,
    NumberHead,
    ProjectionHead,
    StepHead,
    TagHead,
)
from seqfuse.nn.lstm import Lstm, PooledLstm
from seqfuse.nn.net import Net
from seqfuse.nn.revin import Interpolation, RevIN
from seqfuse.nn.shapes import Batch, Output
from seqfuse.nn.stems import CharacterStem, FrameStem, LinearStem, NgramStem, ViewStem

__all__ = [
    "Additive",
    "Autoregression",
    "Bank",
    "Batch",
    "CharacterStem",
    "ClassHead",
    "Cnn",
    "Conditioned",
    "CrfHead",
    "Cycle",
    "Decomposed",
    "DenseCnn",
    "EachStep",
    "EarlyFusion",
    "FrameStem",
    "Fusion",
    "HorizonHead",
    "Inception",
    "Interpolation",
    "LagBank",
    "Last",
    "LateFusion",
    "LinearStem",
    "LowRank",
    "Lstm",
    "Mean",
    "MeanMax",
    "MultiHead",
    "Net",
    "NgramStem",
    "NumberHead",
    "Output",
    "PooledLstm",
    "ProjectionHead",
    "RevIN",
    "ScaledSum",
    "SegmentConv",
    "StepHead",
    "Steps",
    "TagHead",
    "ViewStem",
]
