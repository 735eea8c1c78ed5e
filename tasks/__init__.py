"""The stages of Sightline, in the order in which they run.

doctor    says at once what in params, stores and machine cannot work
ingest    takes label exports in, exactly as they came
parse     reads every format into one pair of tables and a ledger
check     says what is wrong with labels and images
split     divides images into train, val and test without leaks
tune      searches hyperparameters for the use case's metric
train     trains the detector and keeps the best checkpoint
export    turns the checkpoint into one bundle per target
evaluate  measures each bundle on the metrics of the use case
gate      accepts or rejects each target, with reasons
report    draws one page for people
publish   registers what was accepted, with its lineage
"""
