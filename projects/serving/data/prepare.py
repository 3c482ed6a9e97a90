#!/usr/bin/env python3
"""Writes this folder's rows from the published data; see ATTRIBUTION.md. Needs only the standard library.

usage: prepare.py CAR_DEALERSHIP_SCHEMA.json CAR_DEALERSHIP.sqlite PUBMEDQA.json

CAR_DEALERSHIP_SCHEMA.json is defog_data/car_dealership/car_dealership.json of defog-ai/defog-data; CAR_DEALERSHIP.sqlite its SQL dump in
SQLite, relative dates frozen at 2024-06-15. PUBMEDQA.json is data/ori_pqal.json of pubmedqa/pubmedqa without the ids of its
test_ground_truth.json.

The SQL questions are written by the templates below: each is a question in several wordings and one query, filled with values of the
database; every query is run there. No row's question is almost that of a golden item.
"""
import difflib
import hashlib
import json
import os
import random
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SQL_SYSTEM = "Write one SQLite query that answers the question about the car dealership."
ABSTRACT_SYSTEM = "Write the conclusion of this medical abstract."
TABLES = ["cars", "salespersons", "customers", "sales", "payments_received", "payments_made"]
LEFT_OUT = {"crtd_ts", "vin_number", "email", "phone", "address", "zip_code", "invoice_number", "invoice_date", "due_date", "termination_date"}

# Wordings, query. {name} is filled from VALUES.
TEMPLATES = [
    (["How many {make} cars are there?", "How many cars of {make} do we have?", "Count the {make} cars."],
     "SELECT COUNT(*) FROM cars WHERE make = '{make}'"),
    (["Which models of {make} are listed?", "List the {make} models.", "What {make} models do we carry?"],
     "SELECT model FROM cars WHERE make = '{make}'"),
    (["Which cars are from {year}?", "List make and model of the {year} cars.", "Show me the cars built in {year}."],
     "SELECT make, model FROM cars WHERE year = {year}"),
    (["How many cars were built after {year}?", "Count the cars newer than {year}.", "How many cars are more recent than {year}?"],
     "SELECT COUNT(*) FROM cars WHERE year > {year}"),
    (["Which cars cost more than {cost}?", "List the cars above {cost} in cost.", "Show make and model of cars that cost over {cost}."],
     "SELECT make, model FROM cars WHERE cost > {cost}"),
    (["Which cars cost less than {cost}?", "List the cars below {cost} in cost.", "Show make and model of cars that cost under {cost}."],
     "SELECT make, model FROM cars WHERE cost < {cost}"),
    (["What does the {make} {model} cost?", "Cost of the {make} {model}?", "How much did we pay for the {make} {model}?"],
     "SELECT cost FROM cars WHERE make = '{make}' AND model = '{model}'"),
    (["What is the average cost of a {make}?", "Average cost of {make} cars?", "How much does a {make} cost on average?"],
     "SELECT AVG(cost) FROM cars WHERE make = '{make}'"),
    (["Which cars have a {engine_type} engine?", "List the {engine_type} cars.", "Show make and model of cars with {engine_type}."],
     "SELECT make, model FROM cars WHERE engine_type = '{engine_type}'"),
    (["How many cars have {transmission} transmission?", "Count the cars with {transmission} transmission.", "How many {transmission} cars are there?"],
     "SELECT COUNT(*) FROM cars WHERE transmission = '{transmission}'"),
    (["How many cars per make?", "Count the cars of each make.", "Number of cars by make?"],
     "SELECT make, COUNT(*) FROM cars GROUP BY make"),
    (["What are the {n} most expensive cars?", "Top {n} cars by cost?", "List the {n} cars with the highest cost."],
     "SELECT make, model FROM cars ORDER BY cost DESC LIMIT {n}"),
    (["What are the {n} cheapest cars?", "Bottom {n} cars by cost?", "List the {n} cars with the lowest cost."],
     "SELECT make, model FROM cars ORDER BY cost LIMIT {n}"),
    (["How many customers live in {city}?", "Count our customers in {city}.", "Number of customers from {city}?"],
     "SELECT COUNT(*) FROM customers WHERE city = '{city}'"),
    (["Which customers live in {city}?", "Names of the customers in {city}?", "List everybody from {city}."],
     "SELECT first_name, last_name FROM customers WHERE city = '{city}'"),
    (["How many customers are in the state {state}?", "Count the customers of state {state}.", "Number of customers in {state}?"],
     "SELECT COUNT(*) FROM customers WHERE state = '{state}'"),
    (["How many customers per state?", "Count customers by state.", "Customers of each state?"],
     "SELECT state, COUNT(*) FROM customers GROUP BY state"),
    (["Where does {customer} live?", "City and state of {customer}?", "Which city is {customer} from?"],
     "SELECT city, state FROM customers WHERE first_name = '{customer.0}' AND last_name = '{customer.1}'"),
    (["When was {seller} hired?", "Hire date of {seller}?", "Since when does {seller} work for us?"],
     "SELECT hire_date FROM salespersons WHERE first_name = '{seller.0}' AND last_name = '{seller.1}'"),
    (["Who was hired after {year}?", "List the salespersons hired after {year}.", "Which salespersons joined later than {year}?"],
     "SELECT first_name, last_name FROM salespersons WHERE hire_date > '{year}-12-31'"),
    (["How many sales were made in {syear}?", "Count the sales of {syear}.", "Number of cars sold in {syear}?"],
     "SELECT COUNT(*) FROM sales WHERE strftime('%Y', sale_date) = '{syear}'"),
    (["What was the revenue of {syear}?", "Total of the sale prices in {syear}?", "How much did we sell for in {syear}?"],
     "SELECT SUM(sale_price) FROM sales WHERE strftime('%Y', sale_date) = '{syear}'"),
    (["How many sales were above {cost}?", "Count the sales over {cost}.", "Number of sales with a price of more than {cost}?"],
     "SELECT COUNT(*) FROM sales WHERE sale_price > {cost}"),
    (["How many cars did {seller} sell?", "Count the sales of {seller}.", "Number of sales by {seller}?"],
     "SELECT COUNT(*) FROM sales AS s JOIN salespersons AS p ON s.salesperson_id = p.id WHERE p.first_name = '{seller.0}' AND p.last_name = '{seller.1}'"),
    (["What is the revenue of {seller}?", "Total sale price of {seller}'s sales?", "How much money did {seller} bring in?"],
     "SELECT SUM(s.sale_price) FROM sales AS s JOIN salespersons AS p ON s.salesperson_id = p.id WHERE p.first_name = '{seller.0}' AND p.last_name = '{seller.1}'"),
    (["What did {customer} buy?", "Which cars did {customer} buy?", "Cars bought by {customer}?"],
     "SELECT c.make, c.model FROM sales AS s JOIN cars AS c ON s.car_id = c.id JOIN customers AS u ON s.customer_id = u.id WHERE u.first_name = '{customer.0}' AND u.last_name = '{customer.1}'"),
    (["How many {make} cars were sold?", "Count the sales of {make}.", "Number of {make} sales?"],
     "SELECT COUNT(*) FROM sales AS s JOIN cars AS c ON s.car_id = c.id WHERE c.make = '{make}'"),
    (["What is the average sale price of {make} cars?", "Average price of a sold {make}?", "For how much did {make} cars sell on average?"],
     "SELECT AVG(s.sale_price) FROM sales AS s JOIN cars AS c ON s.car_id = c.id WHERE c.make = '{make}'"),
    (["Who are the top {n} sellers?", "The {n} salespersons with the most sales?", "Which {n} salespersons sold the most cars?"],
     "SELECT p.first_name, p.last_name FROM sales AS s JOIN salespersons AS p ON s.salesperson_id = p.id GROUP BY p.id ORDER BY COUNT(*) DESC LIMIT {n}"),
    (["What are the {n} best selling makes?", "Top {n} makes by number of sales?", "Which {n} makes sold most often?"],
     "SELECT c.make FROM sales AS s JOIN cars AS c ON s.car_id = c.id GROUP BY c.make ORDER BY COUNT(*) DESC LIMIT {n}"),
    (["How much was paid by {method}?", "Total received by {method}?", "Sum of the {method} payments we received?"],
     "SELECT SUM(payment_amount) FROM payments_received WHERE payment_method = '{method}'"),
    (["How many payments came by {method}?", "Count the {method} payments we received.", "Number of payments received by {method}?"],
     "SELECT COUNT(*) FROM payments_received WHERE payment_method = '{method}'"),
    (["How much did we pay {vendor}?", "Total paid to {vendor}?", "Sum of our payments to {vendor}?"],
     "SELECT SUM(payment_amount) FROM payments_made WHERE vendor_name = '{vendor}'"),
    (["When did we last pay {vendor}?", "Date of the last payment to {vendor}?", "Last time that {vendor} was paid?"],
     "SELECT MAX(payment_date) FROM payments_made WHERE vendor_name = '{vendor}'"),
    (["Which cars were never sold?", "List the cars without a sale.", "Cars that nobody has bought?"],
     "SELECT make, model FROM cars WHERE id NOT IN (SELECT car_id FROM sales)"),
    (["Which salespersons have sold nothing?", "Salespersons without a sale?", "Who has no sales?"],
     "SELECT first_name, last_name FROM salespersons WHERE id NOT IN (SELECT salesperson_id FROM sales)"),
]


def values(db):
    def column(query):
        return [r[0] for r in db.execute(query)]

    return {
        "make": column("SELECT DISTINCT make FROM cars ORDER BY 1"), "city": column("SELECT DISTINCT city FROM customers ORDER BY 1"),
        "engine_type": column("SELECT DISTINCT engine_type FROM cars ORDER BY 1"), "transmission": column("SELECT DISTINCT transmission FROM cars ORDER BY 1"),
        "state": column("SELECT DISTINCT state FROM customers ORDER BY 1"), "method": column("SELECT DISTINCT payment_method FROM payments_received ORDER BY 1"),
        "vendor": column("SELECT DISTINCT vendor_name FROM payments_made ORDER BY 1"),
        "customer": db.execute("SELECT DISTINCT first_name, last_name FROM customers ORDER BY 1, 2").fetchall(),
        "seller": db.execute("SELECT DISTINCT first_name, last_name FROM salespersons ORDER BY 1, 2").fetchall(),
        "car": db.execute("SELECT DISTINCT make, model FROM cars ORDER BY 1, 2").fetchall(),
        "year": list(range(2017, 2025)), "syear": [2022, 2023, 2024], "cost": list(range(20000, 70000, 2500)), "n": [2, 3, 4, 5, 10],
    }


class Name(tuple):
    """A person: written as both names, its parts by {who.0} and {who.1}."""

    def __str__(self):
        return " ".join(self)

    def __format__(self, spec):
        return str(self)

    def __getattr__(self, i):
        return self[int(i)]


def fill(text, v):
    for part in ("0", "1"):  # str.format has no attribute that is a number
        for who in ("customer", "seller"):
            text = text.replace("{%s.%s}" % (who, part), str(v[who][int(part)]))
    return text.format(**v)


def schema(path):
    with open(path) as f:
        tables = json.load(f)["table_metadata"]
    return "\n".join(t + "(" + ", ".join(c["column_name"] for c in tables[t] if c["column_name"] not in LEFT_OUT) + ")" for t in TABLES)


def sql(schema_file, db_file):
    db, rng = sqlite3.connect(f"file:{db_file}?mode=ro", uri=True), random.Random(1)
    pool, system, seen, rows = values(db), SQL_SYSTEM + "\n" + schema(schema_file), set(), []
    for i in range(40000):
        number = rng.randrange(len(TEMPLATES))
        wordings, query = TEMPLATES[number]
        v = {k: rng.choice(x) for k, x in pool.items()}
        v["customer"], v["seller"] = Name(v["customer"]), Name(v["seller"])
        if "{model}" in query:
            v["make"], v["model"] = v["car"]
        question, answer = fill(rng.choice(wordings), v), fill(query, v)
        if question in seen:
            continue
        seen.add(question)
        db.execute(answer).fetchall()
        rows.append((number, system, question, answer))
    # Each template is asked about as often as any other, so far as it has values for that.
    out = []
    while any(rows):
        for n in range(len(TEMPLATES)):
            k = next((i for i, r in enumerate(rows) if r[0] == n), None)
            if k is not None:
                out.append(rows.pop(k)[1:])
        if len(out) > 700:
            break
    rng.shuffle(out)
    golden = out[:60]
    return golden + [r for r in out[60:] if not any(alike(r[1], g[1]) for g in golden)]


def alike(a, b):
    """Almost the same question: no row may be that to a golden item."""
    return difflib.SequenceMatcher(None, a.lower(), b.lower(), autojunk=False).ratio() > 0.82


def abstracts(path):
    with open(path) as f:
        data = json.load(f)
    out = []
    for key in sorted(data, key=int):
        d = data[key]
        text, conclusion = " ".join(d["CONTEXTS"]), " ".join(d["LONG_ANSWER"].split())
        if len(text.split()) <= 220 and 8 <= len(conclusion.split()) <= 45:
            out.append((ABSTRACT_SYSTEM, d["QUESTION"] + "\n" + text, conclusion))
    random.Random(1).shuffle(out)
    return out


def write(name, rows, cuts):
    at = 0
    for kind, n in cuts.items():
        assert len(rows) >= at + n, f"{name}: {len(rows)} rows, expected {at + n}"
        with open(os.path.join(HERE, f"{name}-{kind}.jsonl"), "w") as f:
            for system, user, answer in rows[at:at + n]:
                digest = hashlib.sha256(user.encode()).hexdigest()[:10]
                line = {"id": f"{kind[0]}-{digest}", "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}
                if kind == "golden":
                    line["target"] = answer
                else:
                    line["messages"].append({"role": "assistant", "content": answer})
                f.write(json.dumps(line, ensure_ascii=False) + "\n")
        at += n


def main():
    schema_file, db_file, pubmed = sys.argv[1:]
    write("sql", sql(schema_file, db_file), {"golden": 60, "held": 30, "train": 400})
    write("abstracts", abstracts(pubmed), {"golden": 30, "held": 15, "train": 144})


if __name__ == "__main__":
    main()
