"""The simulator's own paths, which production does not have: set faults, read the journal."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.simulator.answers import JsonAnswer, Refusal
from gateway.simulator.faults import parse_fault
from gateway.simulator.simulation import Simulation


class Control:
    """The endpoints; they need no key and are not in the journal."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def routes(self) -> list[Route]:
        """`/simulator/faults` and `/simulator/requests`."""
        return [
            Route("/simulator/faults", self.show_faults, methods=["GET"]),
            Route("/simulator/faults", self.replace_faults, methods=["POST"]),
            Route("/simulator/requests", self.show_requests, methods=["GET"]),
            Route("/simulator/requests", self.clear_requests, methods=["DELETE"]),
        ]

    async def show_faults(self, _request: Request) -> Response:
        """`{"faults": ["create_request:429:0.5"]}`: what is in force."""
        return JsonAnswer({"faults": [str(fault) for fault in self.simulation.faults.active]})

    async def replace_faults(self, request: Request) -> Response:
        """Put the faults of the body, in the same form, in force; an empty list ends them all."""
        try:
            faults = [parse_fault(text) for text in (await request.json())["faults"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal(400, f'{{"faults": ["OPERATION:KIND[:AMOUNT[:TIMES]]"]}} expected: {error}') from None
        self.simulation.faults.replace(faults)
        return await self.show_faults(request)

    async def show_requests(self, _request: Request) -> Response:
        """The journal: what arrived, oldest first, and how often per operation."""
        return JsonAnswer(self.simulation.journal.report())

    async def clear_requests(self, _request: Request) -> Response:
        """Start the journal anew."""
        self.simulation.journal.clear()
        return Response(status_code=204)
