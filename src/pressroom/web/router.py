"""All pages."""

from fastapi import APIRouter

from pressroom.web import account, assets, components, execution, executions, home, notebook, notebooks, registering

router = APIRouter()
for each in (assets, account, components, home, registering, notebooks, notebook, executions, execution):
    router.include_router(each.router)
