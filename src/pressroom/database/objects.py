"""The names of what the migrations make, besides the tables of the models."""

FUNCTIONS = (
    "count_executions", "fold_execution_counts", "wake_workers", "tell_status", "claim_execution", "end_attempt",
    "counted_tries", "announce", "note_executions", "note_hour", "parameters_of", "note_parameters",
    "forget_parameters", "refuse_change", "clear_batch", "tell_batch", "settle_batch", "batch_lock", "claim_group",
    "note_for_mlflow",
)  # fmt: skip
"""Those that are not Procrastinate's, which begin with its name."""
SEQUENCES = ("execution_turns_seq",)
"""Those that belong to no column."""
VERSION_TABLE = "alembic_version"
