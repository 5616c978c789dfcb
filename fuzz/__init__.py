"""A coverage-guided fuzzer of the EC2 port: Query and SOAP, headers, signatures of every version, the gate.

    input = one byte of control + one HTTP request
                 │                     │
                 │  which signature    ▼
                 └─► is made anew ─► letter ─┬─► Endpoint.respond, in this process ─┬─► judge
                                             └─► a socket: gate, cheroot, endpoint ─┘

`scene` is a real cloud controller behind the live interface, `corpus` the requests to begin with, `mutation` what is
changed in them, `judge` what must hold for each answer and each thing executed, `turn` one input from bytes to
judgement, `run` the long run with its figures.  Coverage is Atheris' (libFuzzer); without it the same turns are driven
by a seeded dice, as in `make test`.
"""
