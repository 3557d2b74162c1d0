"""Answers questions in plain language with evidence that is checked.

Follow one question through these modules, in order:

* ``planner``     which kind of question, about whom, over which window
* ``questions``   one module per kind: what to fetch, which facts follow, as cited statements
* ``evidence``    the numbered records E1..En that statements cite
* ``retrieval``   techniques and rules that fit what was found
* ``runbooks``    what to do about it
* ``model``       optional: another wording of the same statements
* ``verify``      every sentence against the records it cites
* ``confidence``  how much the evidence carries
"""
