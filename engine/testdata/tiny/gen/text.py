"""Text that the tiny tokenizers are trained on, and the prompts of the goldens. Written for this purpose."""

CORPUS = [
    "Hello, my name is Ada Byron and I want to file a claim on my car.",
    "My policy number is 4471902 and my claim number is 88310.",
    "The car is a 2017 Honda Civic. A truck hit the rear door at the station.",
    "Please send the form to the office before the end of the month.",
    '{"intent": "reportclaim", "name": "Ada Byron", "car_brand": "Honda", "car_year": "2017"}',
    '{"intent": "checkclaim", "claim_number": "88310"}',
    '{"intent": "thankyou"}',
    "File the customer's message as one JSON record.",
    "Thank you, that is all for today. I'll call again if I don't hear from you.",
    "We've seen the photos; they're clear. It's the left side, isn't it?",
    "def total(rows):\n    return sum(row.amount for row in rows)\n",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "Größe, café, naïve, 東京, привет — and an emoji 😀.",
    "In the other case the other driver told the other officer another thing.",
    "one two three four five six seven eight nine ten",
    "and then there were the ones that they had there when we were here",
]

PROMPT = "My policy number is 4471902 and the car is a 2017 Honda. Please file"
COMPLETION = " the claim before the end of the month: {\"intent\": \"reportclaim\"} 😀"

SYSTEM = "File the customer's message as one JSON record."
CONVERSATIONS = [
    [{"role": "system", "content": SYSTEM},
     {"role": "user", "content": "My name is Ada Byron and my claim number is 88310"},
     {"role": "assistant", "content": '{"intent": "checkclaim", "name": "Ada Byron", "claim_number": "88310"}'}],
    [{"role": "system", "content": SYSTEM},
     {"role": "user", "content": "thank you"},
     {"role": "assistant", "content": '{"intent": "thankyou"}'}],
    [{"role": "user", "content": "The truck hit my 2017 Honda"},
     {"role": "assistant", "content": '{"intent": "reportclaim", "car_brand": "Honda", "car_year": "2017"}'}],
    [{"role": "user", "content": "Is it the left side?"},
     {"role": "assistant", "content": "It is."},
     {"role": "user", "content": "And the rear door?"},
     {"role": "assistant", "content": "The rear door too."}],
]
