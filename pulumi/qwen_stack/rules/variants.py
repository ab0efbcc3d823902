"""The rules for entries of `models` that share weights or a name in the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model, Settings

MOST_OF_A_NAME = 4


def what_is_shared_has_variants(settings: Settings) -> Iterator[Problem]:
    """Entries of one name need a word each, those of one directory of weights one from the second on."""
    for position, model in enumerate(settings.models):
        same_weights = model.name in [before.name for before in settings.models[:position]]
        same_name = len(_of_name(settings, model.served_name)) > 1
        key = f"models[{position}].variant"
        if model.variant is None and (same_weights or same_name):
            yield Problem(
                (key,),
                f"none, and {model.served_name if same_name else model.name} is served by another entry too",
                "a word that tells this entry from others",
                f"pulumi config set --path {key} <word>, or correct the name",
            )
        if model.variant is not None and not (same_weights or same_name or model.weight is not None):
            yield Problem(
                (key,),
                f"{model.variant} of {model.name}, which no earlier entry serves",
                "an earlier entry with the same weights, or another with the same servedName",
                f"pulumi config rm --path {key}",
            )


def names_of_the_api_differ(settings: Settings) -> Iterator[Problem]:
    """A further name means one served name, whichever of its entries answers."""
    meant: dict[str, str] = {model.served_name: model.served_name for model in settings.models}
    for position, model in enumerate(settings.models):
        key = f"models[{position}].aliases"
        first = next(other for other in settings.models if other.served_name == model.served_name)
        if set(model.aliases) != set(first.aliases):
            yield Problem(
                (key,),
                f"{_words(model.aliases)}, and {_words(first.aliases)} in another entry of {model.served_name}",
                "the same names in each entry of one servedName: any of them may answer",
                "write the same list into each",
            )
        for alias in model.aliases:
            taken = meant.setdefault(alias, model.served_name)
            if taken != model.served_name or alias == model.served_name or model.aliases.count(alias) > 1:
                yield Problem(
                    (key,),
                    f"{alias}, which already means {taken}",
                    "names that no servedName and no other entry has, each once",
                    f"pulumi config rm --path '{key}[{model.aliases.index(alias)}]'",
                )
                break


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def variants_of_a_name_differ(settings: Settings) -> Iterator[Problem]:
    for entries in _by_name(settings):
        words = [model.variant for model in entries.values()]
        for word in sorted({word for word in words if word and words.count(word) > 1}):
            keys = tuple(f"models[{position}].variant" for position, model in entries.items() if model.variant == word)
            yield Problem(keys, f"{word} in each", "a word of its own for each entry of one servedName", "change one")


def few_entries_share_a_name(settings: Settings) -> Iterator[Problem]:
    """The gateway has a cluster for each entry and each choice of entries that stand in for it."""
    for entries in _by_name(settings):
        if len(entries) > MOST_OF_A_NAME:
            name = next(iter(entries.values())).served_name
            yield Problem(
                tuple(f"models[{position}].servedName" for position in entries),
                f"{len(entries)} entries that serve {name}",
                f"at most {MOST_OF_A_NAME} of one name",
                "give the others a servedName of their own",
            )


def weights_share_out_a_name(settings: Settings) -> Iterator[Problem]:
    for entries in _by_name(settings):
        name = next(iter(entries.values())).served_name
        given = {f"models[{position}].weight": model.weight for position, model in entries.items()}
        weights = [weight for weight in given.values() if weight is not None]
        if len(entries) > 1 and len(weights) < len(entries):
            yield Problem(
                tuple(key for key, weight in given.items() if weight is None),
                f"none, and {len(entries)} entries serve {name}",
                "a weight for each of them, together 100, or names that differ",
                _command(given),
            )
        elif weights and sum(weights) != 100:
            yield Problem(
                tuple(given),
                f"{' + '.join(map(str, weights))} percent of the requests for {name}",
                "100 together",
                _command(given),
            )


def replicas_are_counted_for_names_with_one_entry(settings: Settings) -> Iterator[Problem]:
    """The limiter counts the replicas of a name by one name in DNS."""
    limits = settings.gateway.limits
    for name in limits.requests_per_replica if limits else ():
        entries = len(_of_name(settings, name))
        if entries > 1:
            key = f"gateway.limits.requestsPerReplica.{name}"
            yield Problem(
                (key,),
                f"{name}, which {entries} entries serve",
                "a name that one entry serves: the limiter counts the replicas of one",
                f"pulumi config rm --path 'gateway.limits.requestsPerReplica[\"{name}\"]', until one entry is left",
            )


def _by_name(settings: Settings) -> list[dict[int, Model]]:
    """The entries of each served name, with their positions."""
    return [_of_name(settings, name) for name in dict.fromkeys(model.served_name for model in settings.models)]


def _of_name(settings: Settings, name: str) -> dict[int, Model]:
    return {position: model for position, model in enumerate(settings.models) if model.served_name == name}


def _command(keys: dict[str, int | None]) -> str:
    return "pulumi config set-all --path " + " ".join(f"--plaintext '{key}=<percent>'" for key in keys)


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    what_is_shared_has_variants,
    names_of_the_api_differ,
    variants_of_a_name_differ,
    few_entries_share_a_name,
    weights_share_out_a_name,
    replicas_are_counted_for_names_with_one_entry,
)
