"""Reference values for package evals: ROUGE-L and the linear arm.

usage: python reference.py ../../../projects/bank-support/data > reference.json
needs: pip install rouge-score scikit-learn
"""
import hashlib
import json
import re
import sys

import rouge_score
import sklearn
from rouge_score import rouge_scorer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

TEXTS = [
    ("the cat sat on the mat", "the cat is on the mat"),
    ("the mat the cat sat on", "the cat sat on the mat"),
    ("Your claim 12-34 was filed, thank you!", "your claim 12 34 has been filed. Thank you"),
    ("a", "a a a a"),
    ("nothing in common", "quite different words"),
    ("Police report: not needed; call 555-0100.", "You need no police report. Call 5550100"),
    ("one two three four five six seven", "seven six five four three two one"),
]
scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
rouge = [{"target": t, "completion": c, "f": scorer.score(t, c)["rougeL"].fmeasure} for t, c in TEXTS]


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def load(name):
    rows = [json.loads(line) for line in open(f"{sys.argv[1]}/{name}")]
    x = [[m["content"] for m in r["messages"] if m["role"] == "user"][-1] for r in rows]
    y = [json.loads(r.get("target") or r["messages"][-1]["content"])["intent"] for r in rows]
    return x, y


# Texts are brought to folded words first, so that both sides cut them alike.
train_x, train_y = load("quick-train.jsonl")
test_x, test_y = load("golden.jsonl")
union = FeatureUnion(
    [
        ("word", TfidfVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True)),
        ("char", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)),
    ],
    transformer_weights={"word": 0.5**0.5, "char": 0.5**0.5},
)
a = union.fit_transform([" ".join(words(t)) for t in train_x])
b = union.transform([" ".join(words(t)) for t in test_x])
svm = LinearSVC(C=1.0, loss="squared_hinge", dual=True, tol=1e-7, max_iter=100000, random_state=0).fit(a, train_y)
predicted = svm.predict(b)
margins = svm.decision_function(b)
cosine = (b @ a.T).toarray()
json.dump(
    {
        "rouge_score": getattr(rouge_score, "__version__", "0.1.2"),
        "sklearn": sklearn.__version__,
        "rouge": rouge,
        "inputs": {n: hashlib.sha256(open(f"{sys.argv[1]}/{n}", "rb").read()).hexdigest() for n in ("quick-train.jsonl", "golden.jsonl")},
        "features": len(union.get_feature_names_out()),
        "accuracy": float((predicted == test_y).mean()),
        "predicted": predicted.tolist(),
        "top_margin": [round(float(m.max()), 6) for m in margins],
        "nearest_cosine": [round(float(c.max()), 9) for c in cosine],
    },
    sys.stdout,
    indent=0,
)
