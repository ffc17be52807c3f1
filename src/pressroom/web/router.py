"""All pages."""

from fastapi import APIRouter

from pressroom.web import (
    account,
    assets,
    batches,
    comparing,
    components,
    copying,
    definitions,
    execution,
    executions,
    grants,
    home,
    notebook,
    notebooks,
    registering,
    schedule_form,
    schedules,
    service_pages,
    sweep,
    tokens,
)

router = APIRouter()
# Those with a word where others have a number come first.
for each in (
    *(assets, account, components, home, registering, notebooks, notebook, sweep, definitions, grants, comparing),
    *(executions, execution, copying, batches, schedule_form, schedules, service_pages, tokens),
):
    router.include_router(each.router)
