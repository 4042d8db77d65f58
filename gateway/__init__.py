"""gmi-gateway: a reverse proxy in front of GMI Cloud's generative-media API.

An app changes its base URL and uses a team key. The gateway puts in the real key, lets through what the team's policy
allows, and keeps these promises, each of them tested:

* **No limit is passed**, by one job or one micro-dollar, under any concurrency. A create takes everything it costs
  from the ledger in one transaction before upstream is called, or takes nothing.
* **No create is made twice.** It is sent once more only with the credential's next key, after upstream has refused the
  key it came with. One whose answer was lost stays charged until it is found in upstream's list or shown to be absent.
* **Money comes back on upstream's word, never by guess**, and once. A failed job returns its price and keeps its count.
* **A job belongs to one team for ever.** Nothing of it, not even that it exists, reaches another.
* **What upstream says of a job or a model arrives byte for byte**, and what the client sent leaves byte for byte. Made
  here are lists, which show a team its own, the upload URLs of one whose files are relayed, and a 429 told again.
* **The real key never leaves**, in no answer, header, log or error. Of a client's headers only its request id and its
  trace context reach upstream.
* **One decision, one policy.** A call is judged by the generation that was in force when it began, a create that stood
  in line by the one of its turn; a bad reload changes nothing.

Start reading at `app.py`, which puts everything together, then at `admission.py`. It is the first of the flows, the
modules that say what happens one step after the other; their docstrings begin with FLOW. `core/` decides and never
touches the world; everything else does I/O and decides nothing.
"""

__version__ = "0.1.0"
