"""The words of each topic, by language, and the sentences that they stand in.

Owns: those tables. Leaves to others: making texts of them (``sentences``). A language lacks the topics that no
community of the default world has in it; there the English words stand.
"""

# A template has {a}, and mostly {b}: two words of the topic.
TEMPLATES = {
    "en": (
        "Spent the whole afternoon with {a} and I regret nothing.",
        "Unpopular opinion: {a} beats {b} every single time.",
        "Can we talk about {a} for a second?",
        "Nobody warned me how much time {a} takes.",
        "Three years of {b} and I still learn something about {a} every week.",
        "Today's small joy: {a}.",
        "If you like {a}, you will love {b}. Ask me how I know.",
        "I was wrong about {a}. There, I said it.",
        "Does anybody else think of {b} whenever they see {a}?",
        "A thread about {a}, because somebody has to.",
        "My {a} phase is back, and it brought {b} along.",
        "Got up at five for {a}. Worth it.",
        "Tell me your favourite {a} and I will tell you who you are.",
        "Somewhere between {a} and {b} I lost track of the day.",
        "Reminder that {a} costs nothing and makes everything better, {b} included.",
        "The best part of {b}? Always {a}.",
    ),
    "pt": (
        "Passei a tarde inteira com {a} e não me arrependo de nada.",
        "Opinião impopular: {a} ganha de {b} sempre.",
        "Podemos falar de {a} um instante?",
        "A alegria de hoje: {a}.",
        "Quem gosta de {a} vai adorar {b}. Confiem em mim.",
        "Três anos de {b} e ainda aprendo algo sobre {a} toda semana.",
        "Alguém mais pensa em {b} quando vê {a}?",
        "Ninguém me avisou quanto tempo {a} leva.",
    ),
    "es": (
        "He pasado toda la tarde con {a} y no me arrepiento.",
        "Opinión impopular: {a} le gana a {b} siempre.",
        "¿Podemos hablar un momento de {a}?",
        "La alegría de hoy: {a}.",
        "Si te gusta {a}, te encantará {b}. Créeme.",
        "Tres años de {b} y cada semana aprendo algo de {a}.",
        "¿Alguien más piensa en {b} cuando ve {a}?",
        "Nadie me avisó de cuánto tiempo lleva {a}.",
    ),
    "de": (
        "Den ganzen Nachmittag mit {a} verbracht und nichts bereut.",
        "Unbeliebte Meinung: {a} schlägt {b} jedes Mal.",
        "Können wir kurz über {a} sprechen?",
        "Die kleine Freude des Tages: {a}.",
        "Wer {a} mag, wird {b} lieben. Fragt nicht, woher ich das weiß.",
        "Drei Jahre {b}, und noch immer lerne ich jede Woche etwas über {a}.",
        "Denkt sonst noch jemand an {b}, wenn es um {a} geht?",
        "Niemand hat mich gewarnt, wie viel Zeit {a} braucht.",
    ),
    "fr": (
        "J'ai passé tout l'après-midi avec {a} et je ne regrette rien.",
        "Avis impopulaire : {a} vaut mieux que {b}, toujours.",
        "On peut parler un instant de {a} ?",
        "La petite joie du jour : {a}.",
        "Si vous aimez {a}, vous allez adorer {b}. Croyez-moi.",
        "Trois ans de {b}, et chaque semaine j'apprends encore sur {a}.",
        "Quelqu'un d'autre pense à {b} en voyant {a} ?",
        "Personne ne m'avait dit combien de temps {a} demande.",
    ),
    "ja": (
        "今日は一日中{a}でした。後悔はありません。",
        "正直に言うと、{b}より{a}のほうが好きです。",
        "ちょっとだけ{a}の話をさせてください。",
        "今日の小さな幸せ、それは{a}。",
        "{a}が好きな人は、きっと{b}も好きになります。",
        "{b}を始めて三年、まだ{a}から学ぶことばかりです。",
        "{a}を見ると{b}を思い出すのは私だけでしょうか。",
        "{a}がこんなに時間のかかるものだとは知りませんでした。",
    ),
}

# Words separated by commas.
WORDS = {
    "en": {
        "news": "the morning headlines,local elections,the budget debate,a slow news day,the corrections column,"
        "press conferences,the evening bulletin,long reads,the council meeting,fact checks",
        "cats": "my neighbour's cat,the sunny windowsill,a cardboard box,whiskers,the four o'clock zoomies,"
        "a tiny tabby,purring,the vet visit,toe beans,an empty food bowl",
        "film": "the director's cut,black-and-white films,a midnight screening,the long take,film scores,"
        "practical effects,a good heist plot,the last row,subtitles,credits scenes",
        "art": "watercolours,a fresh sketchbook,life drawing,the blue period,linocuts,museum benches,"
        "charcoal dust,murals,still lifes,an unfinished canvas",
        "football": "a last-minute equaliser,the back four,away days,penalty shoot-outs,the offside rule,"
        "a muddy pitch,set pieces,the relegation battle,a clean sheet,the half-time pie",
        "gardening": "heirloom tomatoes,a cold frame,compost,the first snowdrops,runner beans,slug patrol,"
        "pruning roses,sourdough-coloured soil,seed catalogues,a wild corner",
        "games": "speedruns,a hidden boss,pixel art,couch co-op,the final dungeon,a roguelike,side quests,"
        "board-game night,the tutorial,save files",
        "birds": "a kingfisher,the dawn chorus,the bird feeder,migrating geese,a very round robin,barn owls,"
        "binoculars,the estuary at low tide,starling murmurations,a lost hoopoe",
        "books": "second-hand bookshops,footnotes,a slim novel,unreliable narrators,the library queue,marginalia,"
        "a bad ending,translated fiction,the smell of old paper,reading in the bath",
        "cooking": "brown butter,a cast-iron pan,sourdough,slow-roasted tomatoes,fresh pasta,pickled onions,"
        "the second helping,a sharp knife,midnight noodles,lemon zest",
        "science": "peer review,a failed experiment,tardigrades,the error bars,a tidy proof,field notes,fungi,"
        "the control group,telescope time,an open data set",
        "music": "a modular synth,bass lines,the B-side,vinyl crackle,a church organ,sheet music,drum machines,"
        "open-mic night,the key change,a twelve-string guitar",
        "space": "the Perseids,a lunar eclipse,Saturn's rings,the launch window,an old probe,Jupiter's moons,"
        "dark skies,star charts,the spacewalk,a rover selfie",
        "comics": "inked pages,speech bubbles,a webcomic,four-panel jokes,the collected edition,cross-hatching,"
        "minicomics,a cliffhanger,lettering,Sunday strips",
        "knitting": "cable stitch,sock yarn,an unfinished jumper,hand-dyed wool,the swatch,circular needles,"
        "mittens,lace charts,a dropped stitch,the yarn stash",
        "cities": "night buses,bike lanes,a brutalist library,street trees,the old market hall,rooftops,"
        "tram lines,pocket parks,corner shops,the river path",
        "history": "a medieval map,parish registers,the bronze age,a forgotten queen,roman roads,oral histories,"
        "the archive basement,siege engines,marginal notes,shipwrecks",
        "wrestling": "a ladder match,the entrance music,heel turns,tag teams,a clean finish,the moonsault,"
        "indie shows,promos,the main event,championship belts",
        "dogs": "a muddy spaniel,the long walk,zoomies on the beach,a rescue greyhound,wet noses,the good stick,"
        "puppy school,tail wags,the vet's scales,a stolen sandwich",
        "law": "dissenting opinions,a footnote in the ruling,oral argument,the small print,precedent,"
        "a badly drafted clause,open hearings,legal aid,the appeal,plain-language statutes",
        "trains": "a sleeper train,branch lines,the timetable change,small-gauge lines,signal boxes,steam days,"
        "the window seat,freight yards,a long viaduct,station cafés",
        "poetry": "sonnets,a single good line,haiku,open stanzas,the line break,villanelles,a reading by candlelight,"
        "marginal rhymes,prose poems,a quiet ending",
        "after-dark": "silk and shadows,a slow dance,candlelight,the late show,velvet,a whispered dare,red lipstick,"
        "the hotel bar,lace,a locked door",
        "maps": "contour lines,map projections,an old atlas,isochrones,hand-drawn maps,the compass rose,"
        "tile servers,street names,elevation models,a very long border",
    },
    "ja": {
        "cats": "隣の猫,段ボール箱,日なた,肉球,子猫,猫のひげ,ごろごろ,窓辺",
        "knitting": "毛糸,靴下,編み図,かぎ針,マフラー,手袋,セーター,手染めの糸",
    },
    "pt": {
        "art": "a aquarela,o caderno de esboços,a gravura,o mural da esquina,o carvão,a tela inacabada,"
        "o museu,a natureza-morta",
        "cities": "o bonde,a ciclovia,o mercado velho,os telhados,as árvores da rua,a padaria da esquina,"
        "o rio à noite,o calçadão",
    },
    "es": {
        "games": "el jefe final,los píxeles,las misiones secundarias,el cooperativo,la última mazmorra,"
        "las partidas guardadas,el tutorial,los juegos de mesa",
        "law": "el voto particular,la letra pequeña,la apelación,el precedente,la vista oral,"
        "una cláusula mal redactada,la justicia gratuita,el fallo",
    },
    "de": {
        "books": "alte Antiquariate,Fußnoten,ein schmaler Roman,übersetzte Literatur,die Leihfrist,"
        "Randnotizen,ein Buch im Zug,das letzte Kapitel",
        "poetry": "ein Sonett,der Zeilenumbruch,freie Verse,eine gute Zeile,Haikus,die stille Strophe,"
        "eine Lesung,Reime",
    },
    "fr": {
        "science": "les barres d'erreur,une expérience ratée,les champignons,le groupe témoin,"
        "les données ouvertes,une belle preuve,le télescope,les carnets de terrain",
        "maps": "les courbes de niveau,un vieil atlas,les projections,la rose des vents,les noms de rues,"
        "une carte dessinée à la main,les isochrones,la longue frontière",
    },
}  # fmt: skip
