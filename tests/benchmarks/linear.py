"""What a linear model over TF-IDF of words and n-grams makes of the same texts.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.linear`; nothing of it is chosen on data.
"""

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from seqfuse.config import build, recipes
from tests.composing import composed

NAMES = ("banking77", "snips")


def accuracy(name: str) -> float:
    """Test accuracy; trained on the whole training split."""
    config = recipes.resolve(composed([f"data={name}"]))
    source = build.make(config["data"]["module"]["splits"]["dataset"], "data")
    train, test = source("train"), source("test")
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, parts), LinearSVC(C=0.5, random_state=0))
    model.fit([" ".join(text) for text in train.x], train.y)
    return float(model.score([" ".join(text) for text in test.x], test.y))


if __name__ == "__main__":
    for name in NAMES:
        print(f"{name:<10} {accuracy(name):.4f}", flush=True)
