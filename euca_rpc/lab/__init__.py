"""The laboratory: a workload replayed through the cloud's own code, on simulated time.

    trace file ─► readers ─► Workload ─┐
                  synthetic ───────────┤
                          Site ────────┴─► Experiment: the cloud controller itself; its clock, ids, journal's store and
                                           carrier are swapped ─► the event table ─► outcome: figures, decisions

Nothing here decides anything: who gets which node, and whether, is said by `cloud.launch`, `policy.engine` and the
policies, the same that run a live cloud.  What an experiment tells is read from the events that a live cloud writes.
"""
