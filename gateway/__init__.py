"""gmi-gateway: a reverse proxy in front of GMI Cloud's generative-media API.

An app changes its base URL and uses a team key. The gateway puts in the real key, lets through what the team's policy
allows, and keeps these promises, each of them tested:

* **No limit is passed**, by one job or one micro-dollar, under any concurrency. A create takes everything it costs
  from the ledger in one transaction before upstream is called, or takes nothing.
* **No create is sent twice.** One whose answer was lost stays charged until it is found in upstream's list or shown
  to be absent.
* **Money comes back on upstream's word, never by guess**, and once. A failed job returns its price and keeps its count.
* **A job belongs to one team for ever.** Nothing of it, not even that it exists, reaches another.
* **What upstream says arrives byte for byte**, and what the client sent leaves byte for byte.
* **The real key never leaves**, in no answer, header, log or error, and no client's header reaches upstream.
* **One decision, one policy.** A call is judged by the generation that was in force when it began; a bad reload
  changes nothing.

Start reading at `app.py`, which puts everything together, then at `admission.py`. It is the first of the flows, the
modules that say what happens one step after the other; their docstrings begin with FLOW. `core/` decides and never
touches the world; everything else does I/O and decides nothing.
"""

__version__ = "0.1.0"
