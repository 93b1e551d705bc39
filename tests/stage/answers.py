"""What members hear behind the HTTP doors when they ask for nothing that is there."""

CONCEPT = "/api/concepts/{concept}"
DRAWING = "/api/drawings/{drawing}"
BEHIND_THE_DOOR = {
    **dict.fromkeys(
        (f"GET {CONCEPT}", f"GET {CONCEPT}/samples/{{picture}}"), 404
    ),  # nobody brought it
    "POST /api/drawings": 400,  # an order without a body
    **dict.fromkeys((f"GET {DRAWING}", f"DELETE {DRAWING}"), 404),  # nobody ordered this one
    f"GET {DRAWING}/pictures/{{number}}": 404,
    "GET /gallery/concepts/{name}": 404,
    **{
        f"POST /gallery/concepts/{{name}}/{what}": 404 for what in ("approve", "reject", "withdraw")
    },
    "POST /gallery/sign-out": 303,
}
"""By route, where it is not 200."""
